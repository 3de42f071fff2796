"""ALS's candidates: the exact top-k by inner product."""

import math

import numpy as np

from flagrank.candidates.selection import best, open_products
from flagrank.candidates.source import NOTHING, CandidateRequest, Found
from flagrank.model.arrays import Floats, Mask, Rows
from flagrank.model.factors import Factors

FIRST_BLOCK = 4096

# float32 products round: the bound is loosened by more than d * 2**-24 can add up to, so no true item is cut
BOUND_SLACK = 1e-4


def als(factors: Factors, request: CandidateRequest, count: int) -> Found:
    """For a user with a vector: the best open items, with their inner products. A Source."""
    if request.user.vector is None:
        return NOTHING
    return top_k(factors, request.user.vector, count, request.masked, request.eligible)


def top_k(
    factors: Factors, user_vector: Floats, k: int, masked: Rows, eligible: Mask | None = None
) -> tuple[Rows, Floats]:
    """The k best item rows (int64) and their scores (float32), best first, ties by row; fewer if fewer are left.

    Exact: items lie by falling norm, so by Cauchy-Schwarz nothing from row r on can beat |u| |v_r|, and the scan
    stops once the k-th best does. `masked` rows, in any order, and rows not `eligible` (n,) are left out.
    """
    if k < 1:
        return NOTHING
    masked = np.sort(masked)
    user_norm = math.sqrt(user_vector @ user_vector) * (1 + BOUND_SLACK)
    rows, scores = np.empty(0, np.int64), np.empty(0, np.float32)
    start, size = 0, max(FIRST_BLOCK, 2 * k)
    while start < len(factors.item_factors):
        full = len(scores) == k
        if full and user_norm * factors.item_norms[start] <= scores[-1]:
            break
        stop = min(start + size, len(factors.item_factors))
        is_open = np.ones(stop - start, bool) if eligible is None else eligible[start:stop].copy()
        first, last = np.searchsorted(masked, (start, stop))
        is_open[masked[first:last] - start] = False
        found, block = open_products(factors.item_factors[start:stop], user_vector, is_open)
        found, block = best(k, found + start, block)
        # they come by falling score, so those that beat the k-th best so far come first
        better = np.count_nonzero(block > (scores[-1] if full else -np.inf))
        rows, scores = np.concatenate([rows, found[:better]]), np.concatenate([scores, block[:better]])
        if start:
            rows, scores = best(k, rows, scores)
        start, size = stop, 2 * size
    return rows, scores
