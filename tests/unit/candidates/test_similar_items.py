"""Items like one item."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.candidates.similar_items import FUSION_OFFSET, similar_items
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors, Neighbours
from tests.factories import make_factors

ITEMS = 40


def neighbours(rows: list[list[int]], weights: list[list[float]]) -> Neighbours:
    """Neighbours of the first items; all others have none."""
    width = len(rows[0])
    all_rows, all_weights = np.zeros((ITEMS, width), np.int32), np.zeros((ITEMS, width), np.float32)
    all_rows[: len(rows)], all_weights[: len(weights)] = rows, weights
    return Neighbours(all_rows, all_weights, np.zeros_like(all_weights))


def directions(angles: list[float]) -> np.ndarray:
    """Unit vectors in the plane, one an item."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cosines(vectors: np.ndarray, row: int) -> list[int]:
    """All other rows by falling cosine: the brute-force reading."""
    lengths = np.linalg.norm(vectors, axis=1)
    cosine = vectors @ vectors[row] / (lengths * lengths[row])
    return [other for other in np.lexsort((np.arange(len(vectors)), -cosine)).tolist() if other != row]


def test_without_neighbours_and_embeddings_the_factors_cosine_decides() -> None:
    """And not their inner product, which would put popular items first."""
    factors = make_factors(ITEMS)
    rows, scores = similar_items(factors, 3, 10, NO_ROWS)
    assert rows.tolist() == cosines(factors.item_factors, 3)[:10]
    assert scores == pytest.approx([1 / (FUSION_OFFSET + rank) for rank in range(1, 11)])


def test_embeddings_take_the_place_of_the_factors() -> None:
    """Where the set has them, and the item itself has one."""
    embeddings = directions([item * 0.07 for item in range(ITEMS)])
    embeddings[5] = 0
    factors = make_factors(ITEMS, item_embeddings=embeddings)
    assert set(similar_items(factors, 20, 4, NO_ROWS)[0].tolist()) == {18, 19, 21, 22}
    assert similar_items(factors, 5, 10, NO_ROWS)[0].tolist() == cosines(factors.item_factors, 5)[:10]


def test_neighbours_and_embeddings_are_merged_by_reciprocal_rank() -> None:
    """An item that both lists hold comes before one that leads either; a weight of 0 or less is no neighbour."""
    embeddings = directions([0.0, 0.1, 0.2, *(3.0 for _ in range(ITEMS - 3))])
    given_ones = neighbours([[2, 9, 7, 0]], [[0.3, 0.9, -0.4, 0.0]])
    factors = make_factors(ITEMS, item_embeddings=embeddings, neighbours=given_ones)
    rows, scores = similar_items(factors, 0, 3, NO_ROWS)
    # by weight 9, 2; by cosine 1, 2 and then all others by row, 9 the ninth of them
    assert rows.tolist() == [2, 9, 1]
    offset = FUSION_OFFSET
    assert scores.tolist() == [2 / (offset + 2), 1 / (offset + 1) + 1 / (offset + 9), 1 / (offset + 1)]


@settings(max_examples=100)
@given(
    seed=st.integers(0, 1000),
    row=st.integers(0, ITEMS - 1),
    k=st.integers(1, 60),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    masked=st.sets(st.integers(0, ITEMS - 1), max_size=10),
    parts=st.sampled_from(["neither", "neighbours", "embeddings", "both"]),
)
def test_nothing_that_may_not_come_comes(
    seed: int, row: int, k: int, share: float, masked: set[int], parts: str
) -> None:
    """Never the item itself, a masked or an ineligible one, none twice, and all that is left if that is few."""
    factors = drawn(seed, parts)
    eligible = np.random.default_rng(seed + 1).random(ITEMS) < share
    rows, scores = similar_items(factors, row, k, np.array(sorted(masked), np.int64), eligible)
    is_open = set(np.flatnonzero(eligible).tolist()) - masked - {row}
    assert len(set(rows.tolist())) == len(rows) == min(k, len(is_open))
    assert set(rows.tolist()) <= is_open
    assert (np.diff(scores) <= 0).all()
    # how many are asked for changes none of those that come first
    assert similar_items(factors, row, 1, np.array(sorted(masked), np.int64), eligible)[0].tolist() == rows[:1].tolist()


def drawn(seed: int, parts: str) -> Factors:
    """A set with some of what similarity is taken from."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    if parts in ("neighbours", "both"):
        rows = np.array([rng.choice(ITEMS, 6, replace=False) for _ in range(ITEMS)], np.int32)
        weights = rng.normal(size=(ITEMS, 6)).astype(np.float32)
        found["neighbours"] = Neighbours(rows, weights, weights)
    if parts in ("embeddings", "both"):
        found["item_embeddings"] = directions(rng.uniform(0, 6, ITEMS).tolist())
    return make_factors(ITEMS, seed=seed, **found)
