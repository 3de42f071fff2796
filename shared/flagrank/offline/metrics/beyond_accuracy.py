"""Coverage, novelty, popularity shift and diversity of lists.

The list of a user who has seen everything is empty, and counts as 0.
"""

from collections.abc import Sequence

import numpy as np

from flagrank.candidates.user import resolve_user
from flagrank.domain import Recommendation
from flagrank.model.arrays import NO_ROWS, Floats, Rows
from flagrank.model.factors import Factors
from flagrank.offline.metrics.ranking import PerUser

K = 10


def rows_at(answered: Sequence[Recommendation], k: int = K) -> list[Rows]:
    """The item rows of each list's first `k`."""
    return [np.array([entry.candidate.row for entry in answer.items[:k]], np.int64) for answer in answered]


def coverage(factors: Factors, lists: Sequence[Rows]) -> float:
    """The share of the catalogue that is in any list."""
    return len(np.unique(np.concatenate(lists))) / len(factors.item_ids)


def novelty(factors: Factors, lists: Sequence[Rows]) -> PerUser:
    """Mean self-information of a list's items in bits, by user (Zhou et al. 2010): -log2 of the share who know one."""
    known = np.maximum(factors.popularity, 1) / max(1, len(factors.user_ids))
    return np.array([-np.log2(known[rows]).mean() if len(rows) else 0.0 for rows in lists])


def popularity_shift(factors: Factors, answered: Sequence[Recommendation], lists: Sequence[Rows]) -> PerUser:
    """How much more popular a list is than the user's history, as a ratio less 1 (Abdollahpouri et al. 2019)."""
    profiles = [resolve_user(factors, answer.user_id, NO_ROWS).seen for answer in answered]
    shifts = [
        factors.popularity[rows].mean() / factors.popularity[profile].mean() - 1 if len(profile) and len(rows) else 0.0
        for rows, profile in zip(lists, profiles, strict=True)
    ]
    return np.array(shifts)


def intra_list_diversity(item_vectors: Floats, lists: Sequence[Rows]) -> PerUser:
    """Mean of 1 - cosine over a list's pairs of item vectors (n, d), by user (Ziegler et al. 2005)."""
    directions = unit_rows(item_vectors)
    return np.array([_mean_distance(directions[rows]) for rows in lists])


def unit_rows(rows: Floats) -> Floats:
    """The rows at length 1."""
    directions: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return directions


def _mean_distance(directions: Floats) -> float:
    count = len(directions)
    if count < 2:
        return 0.0
    # the sum over all pairs is the squared length of the sum of the directions
    total = float(np.square(directions.sum(axis=0, dtype=np.float64)).sum())
    return 1 - (total - count) / (count * (count - 1))
