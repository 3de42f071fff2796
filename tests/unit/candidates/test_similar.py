"""Items that go with those that the user has seen."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.candidates import similar as similar_module
from flagrank.candidates.similar import LAST_SEEN, most_similar, similar
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors, Neighbours
from tests.factories import make_factors

ITEMS = 40


def weighted(seed: int = 0) -> Factors:
    weights = np.random.default_rng(seed).normal(size=(ITEMS, ITEMS)).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return make_factors(ITEMS, item_weights=weights)


def with_neighbours(seed: int = 0, count: int = 6) -> Factors:
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.choice(np.delete(np.arange(ITEMS), item), count, replace=False) for item in range(ITEMS)])
    weights = rng.uniform(0.1, 1, rows.shape).astype(np.float32)
    return make_factors(ITEMS, neighbours=Neighbours(rows.astype(np.int32), weights, weights))


@given(seed=st.integers(0, 1000), seen=st.lists(st.integers(0, ITEMS - 1), unique=True), k=st.integers(0, ITEMS))
def test_the_weights_of_all_seen_items_add_up(seed: int, seen: list[int], k: int) -> None:
    """The best by the sum of the seen items' weights, none of them seen, none without a weight above 0."""
    factors = weighted(seed)
    assert factors.item_weights is not None
    rows, scores = most_similar(factors, np.array(seen, np.int64), k, np.array(seen, np.int64))
    totals = factors.item_weights[seen].sum(axis=0) if seen else np.zeros(ITEMS, np.float32)
    expected = sorted((row for row in range(ITEMS) if row not in seen and totals[row] > 0), key=lambda r: -totals[r])
    assert rows.tolist() == expected[:k]
    assert scores == pytest.approx(totals[expected[:k]], abs=1e-5)


@pytest.mark.parametrize("factors", [weighted(), with_neighbours()], ids=["item_weights", "neighbours"])
@given(data=st.data())
def test_what_may_not_come_does_not(factors: Factors, data: st.DataObject) -> None:
    """Neither masked rows nor ineligible ones, and no row twice."""
    some_rows: Any = st.lists(st.integers(0, ITEMS - 1), max_size=20).map(lambda rows: np.array(rows, np.int64))
    seen, masked = data.draw(some_rows), data.draw(some_rows)
    eligible = np.array(data.draw(st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS)))
    rows, scores = most_similar(factors, seen, 15, masked, eligible)
    assert not {*rows.tolist()} & {*masked.tolist()}
    assert eligible[rows].all()
    assert len({*rows.tolist()}) == len(rows) <= 15
    assert (np.diff(scores) <= 0).all()


def test_neighbours_name_those_that_they_are_neighbours_of() -> None:
    """One seen item finds its own neighbours, and a less popular item needs less weight than the list says."""
    factors = with_neighbours()
    assert factors.neighbours is not None
    rows, scores = most_similar(factors, np.array([3], np.int64), ITEMS, NO_ROWS)
    named, weights = factors.neighbours.rows[3], factors.neighbours.session[3]
    turned = dict(zip(named.tolist(), weights * factors.popularity[named] / factors.popularity[3], strict=True))
    assert dict(zip(rows.tolist(), scores, strict=True)) == pytest.approx(turned)


def test_of_a_long_history_the_lists_of_the_last_items_are_read() -> None:
    """A request costs no more for a user who has seen everything."""
    factors = with_neighbours()
    last = np.arange(LAST_SEEN, dtype=np.int64) % 10
    long = np.concatenate([np.arange(10, ITEMS, dtype=np.int64), last])
    for found, expected in zip(
        most_similar(factors, long, 9, NO_ROWS), most_similar(factors, last, 9, NO_ROWS), strict=True
    ):
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_a_sum_for_every_item_is_that_of_the_named_ones(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small catalogue is summed as a whole and a large one by what is named, to the same bits."""
    factors = with_neighbours(seed)
    seen = np.random.default_rng(seed).choice(ITEMS, 12, replace=False).astype(np.int64)
    found = []
    for dense in (ITEMS, 0):
        monkeypatch.setattr(similar_module, "DENSE", dense)
        found.append([each.tolist() for each in most_similar(factors, seen, 30, NO_ROWS)])
    assert found[0] == found[1]
    assert len(found[0][0]) > 10


def test_ties_come_by_row() -> None:
    """The answer is the same on every machine."""
    factors = make_factors(ITEMS, item_weights=np.ones((ITEMS, ITEMS), np.float32))
    assert most_similar(factors, np.array([7], np.int64), 3, np.array([0, 7], np.int64))[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("factors", [make_factors(), weighted(), with_neighbours()])
def test_nothing_is_similar_to_nothing(factors: Factors) -> None:
    """A stranger, and a set without weights, find nothing."""
    user = resolve_user(factors, 999, NO_ROWS)
    assert not len(similar(factors, CandidateRequest(user, 10), 10)[0])


def test_a_known_user_s_own_items_find_others() -> None:
    """The source takes what the user has seen from the request and masks it."""
    factors = weighted()
    user = resolve_user(factors, 1, NO_ROWS)
    rows, _ = similar(factors, CandidateRequest(user, 10), 10)
    assert len(rows) == 10
    assert not {*rows.tolist()} & {*user.seen.tolist()}
