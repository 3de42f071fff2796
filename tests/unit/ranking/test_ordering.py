"""Scores, rules and diversity: everything that orders a list."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from flagrank.domain import Candidate, Ranked
from flagrank.ranking.diversity import mmr
from flagrank.ranking.hybrid import hybrid_order
from flagrank.ranking.rules import capped, pinned, without
from flagrank.ranking.scoring import baseline_order


def pool_of(scores: list[float], categories: str = "") -> list[Candidate]:
    """A pool by falling score; item id and row are the rank, categories are single letters."""
    ordered = sorted(scores, reverse=True)
    return [
        Candidate(rank, rank, score, rank, f"title {rank}", (categories or "a" * len(ordered))[rank], f"text {rank}")
        for rank, score in enumerate(ordered)
    ]


def ranked_of(categories: str) -> list[Ranked]:
    return ordered(pool_of([float(-rank) for rank in range(len(categories))], categories))


def ordered(pool: list[Candidate]) -> list[Ranked]:
    return baseline_order(pool)


def rows(ranked: Iterable[Ranked]) -> list[int]:
    return [entry.candidate.row for entry in ranked]


scores = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=30)
# what float32 can hold: outliers, ties and scores that differ in the last bit alone
any_scores = st.lists(st.floats(-1e9, 1e9, width=32) | st.sampled_from([0.0, 1.0, 1e6]), min_size=1, max_size=30)
relevances = st.dictionaries(st.integers(0, 29), st.integers(0, 100), max_size=30)


@given(scores=scores, relevance=relevances, alpha=st.floats(0, 1))
def test_reranking_is_a_permutation_that_leaves_the_unjudged_in_place(
    scores: list[float], relevance: dict[int, int], alpha: float
) -> None:
    """Nothing is lost or doubled, and an item without a judgement keeps its position."""
    pool = pool_of(scores)
    judged = {position: value for position, value in relevance.items() if position < len(pool)}
    order = rows(hybrid_order(ordered(pool), judged, alpha))
    assert sorted(order) == list(range(len(pool)))
    assert all(order[position] == position for position in range(len(pool)) if position not in judged)


@given(scores=any_scores, relevance=relevances)
def test_alpha_one_is_the_baseline(scores: list[float], relevance: dict[int, int]) -> None:
    """With the baseline's weight at 1 the LLM moves nothing."""
    pool = pool_of(scores)
    judged = {position: value for position, value in relevance.items() if position < len(pool)}
    assert rows(hybrid_order(ordered(pool), judged, 1.0)) == rows(ordered(pool))


@given(scores=scores, relevance=relevances)
def test_alpha_zero_follows_the_llm(scores: list[float], relevance: dict[int, int]) -> None:
    """With the baseline's weight at 0 judged items come by falling relevance, ties by baseline rank."""
    pool = pool_of(scores)
    judged = {position: value for position, value in relevance.items() if position < len(pool)}
    order = [row for row in rows(hybrid_order(ordered(pool), judged, 0.0)) if row in judged]
    assert order == sorted(judged, key=lambda row: (-judged[row], row))


@given(scores=scores, relevance=relevances, alpha=st.floats(0, 1), cap=st.integers(0, 30))
def test_no_item_rises_by_more_places_than_its_cap(
    scores: list[float], relevance: dict[int, int], alpha: float, cap: int
) -> None:
    """Nothing is lost or doubled under a cap, either, and one that allows every rise changes nothing."""
    pool = pool_of(scores)
    judged = {position: value for position, value in relevance.items() if position < len(pool)}
    order = rows(hybrid_order(ordered(pool), judged, alpha, promotion_cap=cap))
    assert sorted(order) == list(range(len(pool)))
    assert all(row - place <= cap for place, row in enumerate(order))
    free, wide = (rows(hybrid_order(ordered(pool), judged, alpha, promotion_cap=each)) for each in (None, len(pool)))
    assert free == wide


def test_a_place_goes_to_the_best_of_those_that_may_rise_so_far() -> None:
    """The model puts the last item first: it rises by two places, and the others keep the model's order."""
    pool = ordered(pool_of([5.0, 4.0, 3.0, 2.0, 1.0]))
    assert rows(hybrid_order(pool, {0: 10, 1: 20, 2: 30, 3: 40, 4: 100}, 0.0, promotion_cap=2)) == [2, 3, 4, 1, 0]


def test_the_tail_stays_behind_the_head() -> None:
    """A head that the LLM finds worthless still precedes the tail that it never saw."""
    order = rows(hybrid_order(ordered(pool_of([5.0, 4.0, 3.0, 2.0])), {0: 0, 1: 1}, 0.0))
    assert order == [1, 0, 2, 3]


def test_a_flat_baseline_leaves_the_choice_to_the_llm() -> None:
    """Equal baseline scores normalise alike and do not divide by zero."""
    assert rows(hybrid_order(ordered(pool_of([2.0, 2.0, 2.0])), {0: 10, 1: 20, 2: 90}, 0.9)) == [2, 1, 0]


@given(scores=any_scores)
def test_baseline_scores_fall_from_one_to_zero(scores: list[float]) -> None:
    """Whatever the learned scores are, a place further down never scores more; equal ones score alike."""
    found = [entry.final_score for entry in ordered(pool_of(scores))]
    assert found == sorted(found, reverse=True)
    assert found[0] == 1
    assert found[-1] == (0 if len(set(scores)) > 1 else 1)


@given(scores=any_scores, best=st.floats(0, 1e9, width=32), worst=st.floats(0, 1e9, width=32))
def test_one_outlier_at_each_end_does_not_flatten_the_others(scores: list[float], best: float, worst: float) -> None:
    """Learned scores have no bound: those between the best and the worst keep a third of the range."""
    assume(max(scores) - min(scores) > 1e-3)
    found = [entry.final_score for entry in ordered(pool_of([*scores, max(scores) + best, min(scores) - worst]))]
    assert found[1] - found[-2] >= 1 / 3 - 1e-9


@given(scores=st.lists(st.floats(0, 1), min_size=4, max_size=30, unique=True))
def test_scores_without_an_outlier_are_stretched_by_their_range(scores: list[float]) -> None:
    """Where the ends are no further away than the others are apart, nothing is bounded."""
    falling = sorted(scores, reverse=True)
    between = falling[1] - falling[-2]
    assume(falling[0] - falling[1] < between > falling[-2] - falling[-1])
    expected = [(score - falling[-1]) / (falling[0] - falling[-1]) for score in falling]
    assert [entry.final_score for entry in ordered(pool_of(scores))] == expected


def test_what_follows_an_outlier_moves_as_it_did_before() -> None:
    """An LLM's preference that moves an item without the outlier moves it with one."""
    plain, wild = (ordered(pool_of(scores)) for scores in ([4.0, 3, 2, 1], [1e6, 3, 2, 1]))
    preference = {0: 50, 1: 50, 2: 90, 3: 50}
    assert rows(hybrid_order(plain, preference, 0.5)) == rows(hybrid_order(wild, preference, 0.5)) == [0, 2, 1, 3]


@given(length=st.integers(0, 20), blocked=st.sets(st.integers(0, 25)))
def test_a_blocked_item_never_comes_back(length: int, blocked: set[int]) -> None:
    """What is blocked is out, what is not stays in order."""
    kept = rows(without(ranked_of("a" * length), blocked))
    assert kept == [row for row in range(length) if row not in blocked]


def test_pins_come_first_in_their_own_order() -> None:
    """A pinned item moves to the front; an unknown pin is ignored."""
    assert rows(pinned(ranked_of("aaaa"), [3, 9, 1])) == [3, 1, 0, 2]


def test_a_category_over_its_cap_moves_back() -> None:
    """The first places hold at most so many items of one category, and what moved back fills the list in order."""
    assert rows(capped(ranked_of("aaabab"), 2, top_k=6)) == [0, 1, 3, 5, 2, 4]
    assert rows(capped(ranked_of("aaabab"), 2, top_k=4)) == [0, 1, 3, 5]


def test_a_cap_never_shortens_the_list() -> None:
    """Where only one category is left, the list is still full."""
    assert rows(capped(ranked_of("aaaa"), 1, top_k=3)) == [0, 1, 2]


def test_a_pin_counts_towards_the_cap_but_is_not_moved_by_it() -> None:
    """Pins stay; others of their category give way."""
    assert rows(capped(ranked_of("aaab"), 1, top_k=3, exempt_rows=[0, 1])) == [0, 1, 3]


def test_new_items_take_no_more_than_their_share() -> None:
    """Two of ten places; what is beyond moves back in order, and comes again where nothing else is left."""
    fresh = [Ranked(replace(entry.candidate, is_new=True), entry.final_score) for entry in ranked_of("a" * 5)]
    known = [Ranked(replace(entry.candidate, row=entry.candidate.row + 5), 0.0) for entry in ranked_of("a" * 8)]
    assert rows(capped([*fresh, *known], 0, top_k=10, new_item_share=0.2)) == [0, 1, *range(5, 13)]
    assert rows(capped(fresh, 0, top_k=3, new_item_share=0.0)) == [0, 1, 2]


def test_no_more_is_read_than_is_listed() -> None:
    """A pool's entries are made when they are looked at, and nine of ten never are."""
    entries = iter(ranked_of("a" * 10))
    assert rows(capped(entries, 0, top_k=3)) == [0, 1, 2]
    assert next(entries).candidate.row == 3


@given(length=st.integers(0, 15), cap=st.integers(0, 4), top_k=st.integers(1, 15), seed=st.integers(0, 99))
def test_rules_and_diversity_only_permute(length: int, cap: int, top_k: int, seed: int) -> None:
    """MMR neither loses nor doubles an item, and caps only choose which come first."""
    rng = np.random.default_rng(seed)
    ranked = ranked_of("".join(rng.choice(list("abc"), length)))
    factors = rng.normal(size=(max(length, 1), 4)).astype(np.float32)
    diverse = mmr(ranked, factors, 0.5, top_k)
    assert sorted(rows(diverse)) == list(range(length))
    listed = rows(capped(diverse, cap, top_k))
    assert len(listed) == len({*listed}) == min(length, top_k)
    assert sorted(rows(capped(diverse, cap, length + 1))) == list(range(length))


def test_mmr_prefers_the_different_item() -> None:
    """Of two items, a near-copy of the first is passed over for one that points elsewhere."""
    factors = np.array([[1, 0], [1, 0.01], [0, 1]], np.float32)
    assert rows(mmr(ranked_of("aaa"), factors, 0.5, 3)) == [0, 2, 1]


def test_mmr_at_lambda_one_changes_nothing() -> None:
    """Relevance alone is the order that came in."""
    factors = np.eye(4, dtype=np.float32)
    assert rows(mmr(ranked_of("aaaa"), factors, 1.0, 4)) == [0, 1, 2, 3]
