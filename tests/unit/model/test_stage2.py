"""Stage 2's models, and the order that they give a pool."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.domain import UserKind
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors, Neighbours
from flagrank.model.features import FEATURES, GROUPS, feature_table
from flagrank.model.stage2 import (
    ALL_LEAVES,
    MAX_LEAVES,
    Linear,
    Stage2,
    Stage2Document,
    Tree,
    TreeEnsemble,
    standardised,
)
from flagrank.ranking.pool import Pool
from flagrank.ranking.scoring import learned_order
from tests.factories import make_factors
from tests.wiring import Wired, ids

WIDTH = 3


def linear(**weights: float) -> Stage2:
    """A model of some features with these weights, as they are."""
    count = len(weights)
    model = Linear(mean=(0.0,) * count, scale=(1.0,) * count, weights=tuple(weights.values()))
    return Stage2(Stage2Document(features=tuple(weights), pool=200, linear=model))


@st.composite
def trees(draw: st.DrawFn) -> tuple[Tree, Any]:
    """A random tree in both forms: as published, and as nested (feature, threshold, left, right) with leaf values."""
    features: list[int] = []
    thresholds: list[float] = []
    kept: list[int] = []
    leaves: list[float] = []

    def grow(room: int) -> Any:
        if room == 1 or draw(st.booleans()):
            leaves.append(float(len(leaves) + 1))
            return leaves[-1]
        split = draw(st.integers(1, room - 1))
        feature, threshold = draw(st.integers(0, WIDTH - 1)), draw(st.integers(-2, 2))
        place, first = len(kept), len(leaves)
        features.append(feature)
        thresholds.append(float(threshold))
        kept.append(0)
        left = grow(split)
        kept[place] = ALL_LEAVES & ~((1 << len(leaves)) - (1 << first))
        return feature, threshold, left, grow(room - split)

    nested = grow(MAX_LEAVES)
    return Tree(feature=tuple(features), threshold=tuple(thresholds), kept=tuple(kept), leaves=tuple(leaves)), nested


def walked(node: Any, row: list[float]) -> float:
    while isinstance(node, tuple):
        feature, threshold, left, right = node
        node = left if row[feature] <= threshold else right
    return float(node)


@given(st.lists(trees(), min_size=1, max_size=4), st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3)))
def test_bit_masks_reach_the_leaf_that_a_walk_reaches(grown: list[tuple[Tree, Any]], rows: list[list[float]]) -> None:
    """Whatever the trees and the features, the score is the sum of the leaves that walking each tree would find."""
    table = np.array(rows, np.float32).reshape(-1, WIDTH)
    expected = [sum(walked(nested, row) for _, nested in grown) for row in rows]
    assert TreeEnsemble([tree for tree, _ in grown]).score(table).tolist() == expected


@given(
    rows=st.integers(1, 4), count=st.integers(0, 300), seed=st.integers(0, 99), precision=st.sampled_from(["f4", "f8"])
)
def test_several_scores_are_standardised_to_the_bit_as_each_is_alone(
    rows: int, count: int, seed: int, precision: str
) -> None:
    """One pass over all of them gives what numpy's own mean and deviation give of each; flat ones are 0."""
    scores = np.random.default_rng(seed).normal(3, 7, (rows, count)).astype(precision)
    scores[0] = 0.1
    expected = [(row - row.mean()) / row.std() if count and row.std() > 0 else np.zeros_like(row) for row in scores]
    assert standardised(scores).tolist() == [row.tolist() for row in expected]
    assert standardised(scores[-1]).tolist() == expected[-1].tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"linear": None},
        {"features": ()},
        {"features": ("als", "als_z")},
        {"trees": ({"feature": (1,), "threshold": (0.0,), "kept": (2,), "leaves": (1.0, 2.0)},)},
        {"trees": ({"feature": (0,), "threshold": (0.0,), "kept": (2,), "leaves": (1.0,)},)},
        {"linear": {"mean": (0.0,), "scale": (0.0,), "weights": (1.0,)}},
        {"linear": {"mean": (0.0,), "scale": (1.0,), "weights": (float("nan"),)}},
        {"pool": 0},
    ],
)
def test_a_model_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    """Before it is ever asked for a score."""
    whole = {"features": ("als",), "pool": 10, "linear": {"mean": (0.0,), "scale": (1.0,), "weights": (1.0,)}}
    assert Stage2Document.model_validate(whole).pool == 10
    with pytest.raises(ValidationError):
        Stage2Document.model_validate({**whole, **changes})


def with_neighbours(factors: Factors) -> Factors:
    """Every item's neighbours are the next two rows, worth 1 and 10 by co-occurrence, 2 and 20 by session."""
    items = len(factors.item_ids)
    rows = np.array([[(row + 1) % items, (row + 2) % items] for row in range(items)], np.int32)
    ease = np.tile(np.array([1, 10], np.float32), (items, 1))
    values = {name: getattr(factors, name) for name in factors.__dataclass_fields__}
    return Factors(**{**values, "neighbours": Neighbours(rows, ease, 2 * ease)})


def column(factors: Factors, name: str, seen: list[int], rows: list[int]) -> list[float]:
    scores = np.linspace(1, 0, len(rows), dtype=np.float32)
    table = feature_table(factors, np.array(seen, np.int64), np.array(rows, np.int64), scores, (name,))
    values: list[float] = table[:, 0].tolist()
    return values


def test_a_neighbour_counts_if_the_user_has_seen_it() -> None:
    """The sum of the weights of an item's seen neighbours, by co-occurrence and by session."""
    factors = with_neighbours(make_factors(items=10))
    assert column(factors, "ease", seen=[3], rows=[1, 2, 5]) == [10, 1, 0]
    assert column(factors, "session", seen=[3, 2], rows=[1, 2, 5]) == [22, 2, 0]


def test_only_the_latest_interactions_are_recent() -> None:
    """Eleven items back is long ago."""
    factors = with_neighbours(make_factors(items=30))
    seen = [9, *range(15, 25)]
    assert column(factors, "session", seen, [8]) == [2]
    assert column(factors, "recent_session", seen, [8]) == [0]


def test_what_a_set_does_not_carry_is_zero() -> None:
    """Neighbours and embeddings are optional, and so is a history."""
    factors = make_factors(items=10)
    for group in ("ease", "session", "recency", "text"):
        for name in GROUPS[group]:
            assert column(factors, name, [1, 2], [3, 4]) == [0, 0]
    assert np.isfinite(feature_table(factors, NO_ROWS, np.array([3, 4]), np.array([1, 0], np.float32))).all()


def test_text_is_compared_with_the_recent_profile() -> None:
    """The mean of the seen items' embeddings against the candidate's."""
    embeddings = np.eye(4, dtype=np.float32)[np.arange(10) % 4]
    factors = make_factors(items=10, item_embeddings=embeddings)
    assert column(factors, "text", seen=[0, 1], rows=[4, 6]) == [0.5, 0]


def test_category_share_is_the_users_own() -> None:
    """Two of three seen items are of the first category."""
    factors = make_factors(items=9)
    assert column(factors, "category_share", seen=[0, 3, 1], rows=[6, 7, 8]) == pytest.approx([2 / 3, 1 / 3, 0])


@given(st.permutations(range(8)))
def test_stage_2_reorders_and_loses_nothing(popularity: list[int]) -> None:
    """The pool comes back whole, by falling score, with ranks counted from zero."""
    counts = np.array(popularity, np.float32) + 1
    factors = make_factors(items=8, users=2, popularity=counts, stage2=linear(log_popularity=1.0))
    user = resolve_user(factors, 1, NO_ROWS)
    found = generate(factors, CandidateRequest(user, 8))
    rows, scores = found.rows, found.taste
    ordered, learned = learned_order(factors, user.seen, rows, scores)
    assert {*ordered.tolist()} == {*rows.tolist()}
    assert (np.diff(learned) <= 0).all()
    assert (np.diff(counts[ordered]) <= 0).all()


def test_a_new_item_keeps_its_place() -> None:
    """The model learned from interactions, and a new item has none: it stays where its text put it."""
    plain = make_factors(items=12, users=2)
    user = resolve_user(plain, 1, NO_ROWS)
    found = generate(plain, CandidateRequest(user, 9))
    rows, scores = found.rows, found.taste
    popularity = plain.popularity.copy()
    popularity[rows[4]] = 0
    factors = make_factors(items=12, users=2, popularity=popularity, stage2=linear(log_popularity=1.0))
    ordered, learned = learned_order(factors, user.seen, rows, scores)
    assert ordered[4] == rows[4]
    assert learned[4] == learned[3]
    assert Pool(factors, ordered, learned)[4].candidate.is_new


def test_a_pin_below_the_pool_is_still_listed() -> None:
    """Stage 2 orders more candidates than are listed, and what it puts last is left out unless it is pinned."""
    factors = make_factors(items=300, users=2, stage2=linear(log_popularity=1.0))
    open_rows = [row for row in factors.popular_rows.tolist() if row not in factors.seen(0).tolist()]
    last = factors.item_id(open_rows[-1])
    pinned = Wired(flag=None, factors=factors, environment={"FLAGRANK_RULES": f'{{"pin": [{last}]}}'})
    assert ids(pinned.recommend(1, top_k=5))[0] == last
    assert last not in ids(Wired(flag=None, factors=factors).recommend(1, top_k=100))


def test_the_served_baseline_is_stage_2s_order() -> None:
    """In the control arm, with nothing but the published model."""
    wired = Wired(flag=None, factors=make_factors(items=300, stage2=linear(log_popularity=1.0)))
    answer = wired.recommend(1, top_k=5)
    counts = [wired.factors.popularity[entry.candidate.row] for entry in answer.items]
    assert counts == sorted(counts, reverse=True)
    assert ids(answer) != ids(Wired(flag=None, factors=make_factors(items=300)).recommend(1, top_k=5))


def test_alpha_one_is_stage_2s_order() -> None:
    """The baseline that the operator's alpha weighs is the learned one."""
    factors = make_factors(items=300, stage2=linear(log_popularity=1.0))
    treated = Wired(factors=factors)
    assert treated.flag is not None
    treated.flags.document = treated.flag.model_copy(update={"alpha": 1.0})
    assert ids(treated.recommend(1)) == ids(Wired(flag=None, factors=factors).recommend(1))


def test_a_stranger_gets_popular_items_whatever_stage_2_says() -> None:
    """There is nothing to learn an order from."""
    factors = make_factors(items=60, stage2=linear(log_popularity=-1.0))
    answer = Wired(flag=None, factors=factors).recommend(999, top_k=5)
    assert answer.diagnostics.user is UserKind.COLD
    assert [entry.candidate.row for entry in answer.items] == factors.popular_rows[:5].tolist()


def test_every_feature_belongs_to_one_group() -> None:
    """So that an ablation leaves each out once."""
    assert len(FEATURES) == len(set(FEATURES))
