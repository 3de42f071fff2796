"""The best of the open items, however few or many are open."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.candidates.selection import best, not_among, open_products
from flagrank.model.arrays import NO_ROWS


@settings(max_examples=100)
@given(seed=st.integers(0, 10_000), items=st.integers(1, 200), share=st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.9, 1.0]))
def test_open_rows_come_with_their_products_and_closed_ones_without(seed: int, items: int, share: float) -> None:
    """Few open rows are copied and many are left in place; either way a closed row has no score."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(items, 5)).astype(np.float32)
    vector = rng.normal(size=5).astype(np.float32)
    is_open = rng.random(items) < share
    rows, products = open_products(vectors, vector, is_open)
    scored = rows[products > -np.inf]
    assert scored.tolist() == np.flatnonzero(is_open).tolist()
    assert products[products > -np.inf] == pytest.approx(vectors[scored] @ vector, rel=1e-4, abs=1e-5)


@given(scores=st.lists(st.integers(0, 5), max_size=40), k=st.integers(1, 50))
def test_the_best_are_those_of_a_full_sort(scores: list[int], k: int) -> None:
    """Best first, ties by row."""
    rows = np.arange(len(scores))[::-1].copy()
    found, its_scores = best(k, rows, np.array(scores, np.float32))
    pairs = sorted(zip(rows.tolist(), scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[:k]
    assert list(zip(found.tolist(), its_scores.tolist(), strict=True)) == pairs


rows_found = st.lists(st.integers(0, 60), unique=True).map(lambda rows: np.array(rows, np.int64))


@given(rows=rows_found, found=st.lists(rows_found, max_size=3))
def test_what_is_not_among_the_rows_comes_once_and_ascending(
    rows: npt.NDArray[np.int64], found: list[npt.NDArray[np.int64]]
) -> None:
    """As numpy's set difference has it, whatever the order in which rows were found."""
    expected = np.setdiff1d(np.concatenate([NO_ROWS, *found]), rows)
    assert not_among(rows, found).tolist() == expected.tolist()
