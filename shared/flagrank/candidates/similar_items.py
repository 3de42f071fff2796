"""Items like one item: what goes together with it, and what is described or factored alike."""

import numpy as np

from flagrank.candidates.selection import best, open_products
from flagrank.model.arrays import NO_ROWS, Mask, Rows, Scores
from flagrank.model.factors import Factors

# Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet": how little the first places weigh
FUSION_OFFSET = 60

# how far down both lists are read at least: an order that depended on the number asked for would be none
DEPTH = 200

# an item without factors is like nothing
SMALLEST_NORM = 1e-30


def similar_items(
    factors: Factors, row: int, k: int, masked: Rows, eligible: Mask | None = None
) -> tuple[Rows, Scores]:
    """The k item rows (int64) most like an item row and their scores (float64), best first, ties by row.

    Two lists are merged by reciprocal rank: the item's published neighbours by falling weight, and all items by the
    cosine of their embeddings, or of their factors where the set or the item has no embedding. A small set has weights
    between all items in place of neighbours. The item itself, `masked` rows and rows not `eligible` (n,) are left out;
    fewer come if fewer are left.
    """
    is_open = np.ones(len(factors.item_ids), bool) if eligible is None else eligible.copy()
    is_open[masked] = False
    is_open[row] = False
    depth = max(k, DEPTH)
    merged: dict[int, float] = {}
    for ranking in (_neighbours(factors, row, depth, is_open), _alike(factors, row, depth, is_open)):
        for rank, found in enumerate(ranking.tolist(), 1):
            merged[found] = merged.get(found, 0.0) + 1 / (FUSION_OFFSET + rank)
    best = sorted(merged, key=lambda found: (-merged[found], found))[:k]
    return np.array(best, np.int64), np.array([merged[found] for found in best])


def _neighbours(factors: Factors, row: int, k: int, is_open: Mask) -> Rows:
    if factors.item_weights is not None:
        weights = factors.item_weights[row]
        rows = np.arange(len(weights))
    elif factors.neighbours is not None:
        rows, weights = factors.neighbours.rows[row].astype(np.int64), factors.neighbours.ease[row]
    else:
        return NO_ROWS
    kept = (weights > 0) & is_open[rows]
    return best(k, rows[kept], weights[kept])[0]


def _alike(factors: Factors, row: int, k: int, is_open: Mask) -> Rows:
    embeddings = factors.item_embeddings
    if embeddings is not None and embeddings[row].any():
        rows, cosines = open_products(embeddings, embeddings[row], is_open)
    else:
        rows, products = open_products(factors.item_factors, factors.item_factors[row], is_open)
        cosines = products / factors.item_norms[rows].clip(SMALLEST_NORM)
    rows, cosines = best(k, rows, cosines)
    return rows[cosines > -np.inf]
