"""The lexical source: exact top-k by BM25."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.candidates import lexical
from flagrank.candidates.als import NO_ROWS
from flagrank.candidates.lexical import lexical_top_k
from flagrank.model.factors import Floats, Rows
from flagrank.model.lexical import LexicalIndex, build_lexical_index

VOCABULARY = tuple("abcdefghijkl")


def brute_force(
    index: LexicalIndex, weights: dict[str, float], k: int, masked: Rows, eligible: np.ndarray | None
) -> tuple[Rows, Floats]:
    """Every item scored, rarest word first, then sorted by falling score and rising row."""
    known = [(index.vocabulary.find(word), weight) for word, weight in weights.items()]
    by_rarity = sorted((index.frequencies[number], number, weight) for number, weight in known if number is not None)
    scores = np.zeros(len(index.rows_by_length), np.float32)
    for _, number, weight in by_rarity:
        scores[index.postings(number)] += index.idf[number] * np.float32(weight)
    scores *= np.repeat(index.saturations, np.diff(index.length_indptr))
    by_row = np.zeros_like(scores)
    by_row[index.rows_by_length] = scores
    by_row[masked] = 0
    if eligible is not None:
        by_row[~eligible] = 0
    found = np.flatnonzero(by_row)
    order = np.lexsort((found, -by_row[found]))[:k]
    return found[order], by_row[found[order]]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_pruning_finds_what_scoring_every_item_finds(data: st.DataObject) -> None:
    """The same rows in the same order with the same bits, whatever the lengths, weights, masks, filters and limits."""
    seed, items = data.draw(st.integers(0, 10_000)), data.draw(st.integers(1, 300))
    rng = np.random.default_rng(seed)
    longest, skew = data.draw(st.integers(1, len(VOCABULARY))), data.draw(st.sampled_from([0.0, 1.0, 2.5]))
    shares = np.arange(1, len(VOCABULARY) + 1) ** -skew
    lengths = rng.integers(data.draw(st.integers(0, longest)), longest + 1, items)
    texts = [" ".join(rng.choice(VOCABULARY, length, p=shares / shares.sum())) for length in lengths]
    index = build_lexical_index(texts)
    words = data.draw(st.lists(st.sampled_from([*VOCABULARY, "unknown"]), min_size=1, max_size=8, unique=True))
    weights = {word: data.draw(st.sampled_from([1.0, 0.3, 0.75, 1e-6])) for word in words}
    k = data.draw(st.integers(1, 50))
    masked = rng.permutation(items)[: int(items * data.draw(st.sampled_from([0.0, 0.1, 0.9])))]
    share = data.draw(st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]))
    eligible = None if share is None else rng.random(items) < share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexical, "MAX_LOOKUPS", data.draw(st.sampled_from([0, 5, 50, 10_000])))
        patch.setattr(lexical, "FIRST_SPAN", data.draw(st.sampled_from([1, 7, 64])))
        patch.setattr(lexical, "LAST_SPAN", data.draw(st.sampled_from([9, 64])))
        patch.setattr(lexical, "TABLE_RATIO", data.draw(st.sampled_from([0, 3, 16])))
        rows, scores = lexical_top_k(index, weights, k, masked, eligible)
    expected_rows, expected_scores = brute_force(index, weights, k, masked, eligible)
    assert rows.tolist() == expected_rows.tolist()
    assert scores.tobytes() == expected_scores.tobytes()
    assert rows.dtype == np.int64


@given(words=st.permutations(VOCABULARY[:5]))
def test_the_order_of_words_does_not_matter(words: list[str]) -> None:
    """A query asks for the same in any order, to the last bit."""
    rng = np.random.default_rng(1)
    index = build_lexical_index([" ".join(rng.choice(VOCABULARY, 6)) for _ in range(100)])
    rows, scores = lexical_top_k(index, dict.fromkeys(words, 1.0), 30, NO_ROWS)
    same_rows, same_scores = lexical_top_k(index, dict.fromkeys(sorted(words), 1.0), 30, NO_ROWS)
    assert rows.tolist() == same_rows.tolist()
    assert scores.tobytes() == same_scores.tobytes()


def test_equal_scores_come_in_row_order_across_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search stops among equals, and the lowest rows are those that it found."""
    monkeypatch.setattr(lexical, "FIRST_SPAN", 4)
    index = build_lexical_index(["pan steel"] * 50)
    rows, _ = lexical_top_k(index, {"pan": 1}, 5, np.array([3, 0]))
    assert rows.tolist() == [1, 2, 4, 5, 6]


@pytest.mark.parametrize("lookups", [0, 100])
def test_a_tie_between_two_words_goes_to_the_lower_row(lookups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word that is met second does not lose for it."""
    monkeypatch.setattr(lexical, "MAX_LOOKUPS", lookups)
    monkeypatch.setattr(lexical, "FIRST_SPAN", 1)
    for texts in (["b", "a"], ["a", "b"], ["b", "a c", "b d", "a"]):
        rows, _ = lexical_top_k(build_lexical_index(texts), {"a": 1, "b": 1}, 1, NO_ROWS)
        assert rows.tolist() == [0]


def test_an_item_with_both_words_precedes_those_with_one() -> None:
    """A query finds what it names."""
    index = build_lexical_index(["red pan", "red shoe", "blue shoe", "blue hat", "green hat", "green pan"])
    rows, _ = lexical_top_k(index, {"red": 1, "shoe": 1}, 3, NO_ROWS)
    assert rows.tolist() == [1, 0, 2]


def test_a_word_of_lower_weight_counts_for_less() -> None:
    """What an intent implies does not beat what it names."""
    index = build_lexical_index(["headset", "microphone", "rug"])
    rows, scores = lexical_top_k(index, {"microphone": 0.3, "headset": 1}, 5, NO_ROWS)
    assert rows.tolist() == [0, 1]
    assert scores[1] == pytest.approx(0.3 * scores[0])


@pytest.mark.parametrize(
    "weights", [{}, {"unknown": 1.0}, {"\ud800": 1.0}, {"pan": 0.0}, {"pan": -1.0}, {"pan": float("nan")}]
)
def test_a_query_that_matches_nothing_finds_nothing(weights: dict[str, float]) -> None:
    """The caller falls back to taste."""
    rows, scores = lexical_top_k(build_lexical_index(["pan", "pan"]), weights, 5, NO_ROWS)
    assert (rows.tolist(), scores.tolist()) == ([], [])


def test_an_empty_catalogue_finds_nothing() -> None:
    """Without items there is nothing to fail on."""
    rows, _ = lexical_top_k(build_lexical_index([]), {"pan": 1.0}, 5, NO_ROWS, np.empty(0, bool))
    assert rows.tolist() == []
