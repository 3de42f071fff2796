"""Gram matrices of the items: how often two were taken by the same user, and how close in time."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix, diags_array

from flagrank.offline.data.interactions import Interactions

# a Gram matrix of this many items is gathered from faster as a dense one, in 100 MB
DENSE_ITEMS = 5000
# the latest of an endless history: its square is what a user costs
MAX_HISTORY = 1000
# in means: one count of thousands must not drown all the others
MAX_STRENGTH = 3.0
CHUNK_PAIRS = 5_000_000
MIN_CLOSENESS = 1e-3

type Block = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Interactions as numbers, by user and in a user by time, all (m,).

    `users` int64, `items` int32, `times_s` float64, and `strengths` float64, which are about 1.
    """

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    times_s: npt.NDArray[np.float64]
    strengths: npt.NDArray[np.float64]
    shape: tuple[int, int]


def pairs_of(item_ids: npt.NDArray[Any], interactions: Interactions, rating_weight: float) -> Pairs:
    """The interactions with items `item_ids` (n,) as their places there, of each user the latest MAX_HISTORY.

    Strengths are 1 + `rating_weight` * (value - 1), as in ALS's confidence, over their mean: what was tuned on one
    scale of ratings holds for another.
    """
    order = np.argsort(item_ids, kind="stable")
    items = order[np.searchsorted(item_ids, interactions.items, sorter=order)].astype(np.int32)
    user_ids, users = np.unique(interactions.users, return_inverse=True)
    by_user = np.lexsort((interactions.timestamps, users))
    counts = np.bincount(users)
    from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(users))
    kept = by_user[from_end <= MAX_HISTORY]
    times_s = interactions.timestamps[kept].astype(np.float64)
    strengths = 1 + rating_weight * (interactions.values[kept].astype(np.float64) - 1)
    strengths = np.minimum(strengths / strengths.mean(), MAX_STRENGTH) if len(kept) else strengths
    return Pairs(users[kept], items[kept], times_s, strengths, (len(user_ids), len(item_ids)))


def gram_matrix(pairs: Pairs, session_s: float | None) -> csr_matrix:
    """Of co-occurrence, (n, n); with `session_s` each pair adds up to as much again by closeness in time."""
    together = csr_matrix((pairs.strengths, (pairs.users, pairs.items)), pairs.shape)
    gram = csr_matrix(together.T @ together)
    if session_s is None:
        return gram
    return csr_matrix(gram + _both_ways(_close_in_time(pairs, session_s)) + diags_array(gram.diagonal()))


def _close_in_time(pairs: Pairs, session_s: float) -> csr_matrix:
    items = pairs.shape[1]
    total = csr_matrix((items, items))
    waiting: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float64]]] = []
    pending = 0
    ends = np.cumsum(np.bincount(pairs.users, minlength=pairs.shape[0])).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        its_items, times_s, strengths = pairs.items[start:end], pairs.times_s[start:end], pairs.strengths[start:end]
        earlier, later = _within(times_s, -session_s * np.log(MIN_CLOSENESS))
        closeness = np.exp((times_s[earlier] - times_s[later]) / session_s) * strengths[earlier] * strengths[later]
        waiting.append((its_items[earlier], its_items[later], closeness))
        pending += len(earlier)
        if pending > CHUNK_PAIRS or end == ends[-1]:
            left, right, weights = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
            total = total + coo_matrix((weights, (left, right)), (items, items)).tocsr()
            waiting, pending = [], 0
    return total


def _within(times_s: npt.NDArray[np.float64], span_s: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The places of every two of the rising times that are closer than the span, the earlier one first."""
    places = np.arange(len(times_s))
    later_ones = np.maximum(np.searchsorted(times_s, times_s + span_s) - places - 1, 0)
    earlier = np.repeat(places, later_ones)
    nth = np.arange(len(earlier)) - np.repeat(np.cumsum(later_ones) - later_ones, later_ones)
    return earlier, earlier + 1 + nth


def item_scale(diagonal: npt.NDArray[np.float64], popularity_exponent: float) -> npt.NDArray[np.float64]:
    """What each item is multiplied with, (n,): its entry of the Gram matrix's `diagonal` to -`popularity_exponent`.

    Divided by the geometric mean, so that a ridge means the same with every exponent; 1 for an item without entries.
    """
    met = diagonal > 0
    scale = np.ones(len(diagonal))
    if met.any():
        logarithms = np.log(diagonal[met])
        scale[met] = np.exp(-popularity_exponent * (logarithms - logarithms.mean()))
    return scale


class GramBlocks:
    """Small blocks of both Gram matrices, made from the interactions when they are asked for.

    A Gram matrix has as many entries as users have pairs of items, a hundred times the interactions; here the memory is
    that of the interactions. The `dense` most popular items, of which each pair shares many users, are multiplied once.
    """

    def __init__(self, pairs: Pairs, session_s: float | None, dense: int = DENSE_ITEMS) -> None:
        self._by_user = csr_matrix((pairs.strengths, (pairs.users, pairs.items)), pairs.shape)
        self._by_item = self._by_user.T.tocsr()
        self._close = None if session_s is None else _both_ways(_close_in_time(pairs, session_s))
        own = np.bincount(pairs.items, pairs.strengths**2, pairs.shape[1])
        self.diagonals = [own] if self._close is None else [own, 2 * own]
        self._norms = np.sqrt(self.diagonals[-1])
        popular = np.sort(np.argsort(-np.diff(self._by_item.indptr), kind="stable")[:dense])
        self._place_in_dense = np.full(pairs.shape[1], -1, np.int64)
        self._place_in_dense[popular] = np.arange(len(popular))
        self._dense = [matrix.astype(np.float32).ravel() for matrix in self._multiplied(popular)]
        self._dense_size = len(popular)
        self._item_place, self._user_place = (np.full(size, -1, np.int32) for size in pairs.shape[::-1])

    def nearest(self, items: npt.NDArray[np.int64], count: int) -> list[npt.NDArray[np.int64]]:
        """Of each item the `count` others of highest cosine above 0, fewer if there are not as many, rising."""
        rows = self._by_item[items] @ self._by_user
        rows = csr_matrix(rows if self._close is None else rows + self._close[items])
        cosine = rows.data / self._norms[rows.indices]
        cosine[rows.indices == np.repeat(items, np.diff(rows.indptr))] = -np.inf
        found = []
        for start, end in itertools.pairwise(rows.indptr.tolist()):
            found.append(_highest(rows.indices[start:end].astype(np.int64), cosine[start:end], count))
        return found

    def blocks(self, items: npt.NDArray[np.int64]) -> list[Block]:
        """Each matrix's rows and columns of the items, (m, m) float32."""
        places = self._place_in_dense[items]
        rare = np.flatnonzero(places < 0)
        at = places[:, None] * self._dense_size + places
        if not len(rare):
            return [flat.take(at) for flat in self._dense]
        # what lies outside is overwritten
        blocks = [flat.take(at, mode="clip") if len(flat) else np.empty(at.shape, np.float32) for flat in self._dense]
        together = self._together(items, rare)
        rows = [together]
        if self._close is not None:
            together_and_close = together + self._closeness(items, rare)
            together_and_close[np.arange(len(rare)), rare] += self.diagonals[0][items[rare]]
            rows.append(together_and_close)
        for block, its_rows in zip(blocks, rows, strict=True):
            block[rare] = its_rows
            block[:, rare] = its_rows.T
        return blocks

    def _multiplied(self, items: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float64]]:
        mine = self._by_item[items]
        gram = (mine @ mine.T).toarray()
        if self._close is None:
            return [gram]
        return [gram, gram + self._close[items][:, items].toarray() + np.diag(gram.diagonal())]

    def _together(self, items: npt.NDArray[np.int64], rare: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Rows of the rare ones among the items, (rare, m): a product over nobody but their few users."""
        mine, everybody = self._by_item[items[rare]], self._by_item[items]
        users, columns = np.unique(mine.indices, return_inverse=True)
        self._user_place[users] = np.arange(len(users))
        places = self._user_place.take(everybody.indices)
        self._user_place[users] = -1
        met = np.flatnonzero(places >= 0)
        owners = np.repeat(np.arange(len(items)), np.diff(everybody.indptr)).take(met)
        left = csr_matrix((mine.data, columns, mine.indptr), (len(rare), len(users)))
        right = csr_matrix((everybody.data.take(met), (places.take(met), owners)), (len(users), len(items)))
        rows: npt.NDArray[np.float64] = (left @ right).toarray()
        return rows

    def _closeness(self, items: npt.NDArray[np.int64], rare: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        assert self._close is not None
        mine = self._close[items[rare]]
        self._item_place[items] = np.arange(len(items))
        places = self._item_place.take(mine.indices)
        self._item_place[items] = -1
        met = np.flatnonzero(places >= 0)
        owners = np.repeat(np.arange(len(rare)), np.diff(mine.indptr)).take(met)
        rows = np.zeros((len(rare), len(items)))
        rows[owners, places.take(met)] = mine.data.take(met)
        return rows


def _both_ways(one_way: csr_matrix) -> csr_matrix:
    return csr_matrix(one_way + one_way.T)


def _highest(
    others: npt.NDArray[np.int64], cosine: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.int64]:
    if len(cosine) > count:
        lowest = np.partition(cosine, len(cosine) - count)[len(cosine) - count]
        others, cosine = others[cosine >= lowest], cosine[cosine >= lowest]
    # what ties for the last place is taken by row
    order = np.lexsort((others, -cosine))[:count]
    rising: npt.NDArray[np.int64] = np.sort(others[order[cosine[order] > 0]])
    return rising
