"""What accuracy does not say, and how sure the figures are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.model.arrays import Rows
from flagrank.offline.evaluation.replay import answers, baseline
from flagrank.offline.metrics import beyond_accuracy
from flagrank.offline.metrics.ranking import bootstrap
from tests.factories import make_factors


def rows(*items: int) -> Rows:
    return np.array(items, np.int64)


def test_coverage_counts_items_once() -> None:
    """Three of ten items are in some list."""
    assert beyond_accuracy.coverage(make_factors(items=10), [rows(0, 1), rows(1, 2)]) == 0.3


def test_novelty_is_in_bits() -> None:
    """An item that half of the users know is one bit of news, one that a quarter knows two."""
    factors = make_factors(items=4, users=8, popularity=np.array([4, 2, 8, 8], np.float32))
    assert beyond_accuracy.novelty(factors, [rows(0), rows(0, 1), rows(2, 3)]).tolist() == [1, 1.5, 0]


def test_popularity_shift_compares_with_the_users_own_history() -> None:
    """Zero for a list as popular as what the user chose, one for twice as popular."""
    seen: dict[str, Any] = {"seen_indptr": np.array([0, 2]), "seen_indices": np.array([0, 1], np.int32)}
    factors = make_factors(items=4, users=1, popularity=np.array([5, 5, 10, 10], np.float32), **seen)
    answered = answers(baseline(factors), [1], 2)
    shift = beyond_accuracy.popularity_shift(factors, answered, beyond_accuracy.rows_at(answered))
    assert shift.tolist() == [1.0]


@given(st.lists(st.integers(0, 29), min_size=2, max_size=10, unique=True))
def test_diversity_is_the_mean_over_pairs(items: list[int]) -> None:
    """Of one less the cosine, whichever items they are."""
    factors = make_factors(items=30)
    unit = beyond_accuracy.unit_rows(factors.item_factors)[items].astype(np.float64)
    pairs = [1 - unit[a] @ unit[b] for a in range(len(items)) for b in range(a)]
    found = beyond_accuracy.intra_list_diversity(factors.item_factors, [rows(*items)])
    assert found[0] == pytest.approx(np.mean(pairs), abs=1e-5)


def test_a_list_of_one_item_is_not_diverse() -> None:
    """There is no pair."""
    assert beyond_accuracy.intra_list_diversity(make_factors(items=3).item_factors, [rows(1)]).tolist() == [0.0]


def test_an_empty_list_counts_as_nought() -> None:
    """Somebody who has seen everything gets one, and the means over users stay numbers."""
    every: dict[str, Any] = {"seen_indptr": np.array([0, 4]), "seen_indices": np.arange(4, dtype=np.int32)}
    factors = make_factors(items=4, users=1, **every)
    answered = answers(baseline(factors), [1], 2)
    lists = beyond_accuracy.rows_at(answered)
    assert [len(shown) for shown in lists] == [0]
    assert beyond_accuracy.coverage(factors, lists) == 0
    assert beyond_accuracy.novelty(factors, lists).tolist() == [0]
    assert beyond_accuracy.popularity_shift(factors, answered, lists).tolist() == [0]
    assert beyond_accuracy.intra_list_diversity(factors.item_factors, lists).tolist() == [0]


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_an_interval_lies_around_its_mean(values: list[float]) -> None:
    """And within the values."""
    found = bootstrap(np.array(values))
    assert min(values) - 1e-9 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= max(values) + 1e-9


def test_a_constant_difference_is_certain() -> None:
    """Resampling equal values gives the value."""
    found = bootstrap(np.full(20, 0.25))
    assert (found.low, found.mean, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_intervals_cover_at_their_level() -> None:
    """Of 400 samples of 200 normal values about 95 % of the intervals hold the true mean."""
    rng = np.random.default_rng(7)
    covered = [found.low <= 0 <= found.high for found in (bootstrap(rng.normal(size=200), 250) for _ in range(400))]
    assert 0.91 <= np.mean(covered) <= 0.98
