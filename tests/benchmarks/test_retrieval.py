"""Exact early-stopping retrieval beside its peers: `uv run pytest tests/benchmarks -s`."""

import pytest

from flagrank.benchmarks.retrieval import NUMPY, measured


@pytest.mark.parametrize(
    ("items", "skew", "least_ratio"),
    [(2_000, 1.0, 0.2), (1_000_000, 1.0, 4.0), (1_000_000, 0.0, 0.5)],
    ids=["small shop", "a million items, popularity-skewed norms", "a million items, flat norms (worst case)"],
)
def test_the_early_stop_pays_where_it_can(items: int, skew: float, least_ratio: float) -> None:
    """Many times faster than the scan on skewed norms, not much slower on flat ones, and the same items."""
    rows = {row.contestant: row for row in measured(items, skew, rounds=30)}
    print("\n" + "\n".join(map(str, rows.values())))
    assert rows["flagrank"].facts["recall"] == 1
    assert (rows[NUMPY].ratio or 0) >= least_ratio
