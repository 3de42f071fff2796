"""Gram matrices of the items: how often two were taken by the same user, and how close in time."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix, diags_array

from flagrank.model.arrays import Floats, Rows
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
    that of the interactions. The DENSE_ITEMS most popular items, which share many users, are multiplied once.
    """

    def __init__(self, pairs: Pairs, session_s: float | None) -> None:
        strengths = pairs.strengths.astype(np.float32)
        self._by_user = csr_matrix((strengths, (pairs.users, pairs.items)), pairs.shape)
        self._by_item = self._by_user.T.tocsr()
        self._close = None if session_s is None else _both_ways(_close_in_time(pairs, session_s)).astype(np.float32)
        own: npt.NDArray[np.float64] = np.bincount(pairs.items, pairs.strengths**2, pairs.shape[1]).astype(np.float64)
        self.diagonals = [own] if self._close is None else [own, 2 * own]
        self._norms = np.sqrt(self.diagonals[-1])
        popular = np.sort(np.argsort(-np.diff(self._by_item.indptr), kind="stable")[:DENSE_ITEMS])
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

    def blocks(self, groups: Sequence[Rows]) -> list[list[Block]]:
        """For each matrix the rows and columns of each group of items, (m, m) float32; groups are cheaper together."""
        places = [self._place_in_dense[group] for group in groups]
        found = [[self._from_dense(flat, its_places) for its_places in places] for flat in self._dense]
        rare = [np.flatnonzero(its_places < 0) for its_places in places]
        unfinished = [place for place, its_rare in enumerate(rare) if len(its_rare)]
        if unfinished:
            self._finish(
                [groups[place] for place in unfinished],
                [rare[place] for place in unfinished],
                [[blocks[place] for blocks in found] for place in unfinished],
            )
        return found

    def _finish(self, groups: Sequence[Rows], rare: Sequence[Rows], found: Sequence[Sequence[Block]]) -> None:
        """Writes the rows and columns of the rare items into each group's blocks, one of each matrix."""
        together = self._together(groups, rare)
        start = 0
        for group, its_rare, blocks in zip(groups, rare, found, strict=True):
            rows = together[start : start + len(its_rare), : len(group)]
            start += len(its_rare)
            _fill(blocks[0], its_rare, rows)
            if self._close is not None:
                self._add_closeness(rows, group, its_rare)
                rows[np.arange(len(its_rare)), its_rare] *= 2
                _fill(blocks[1], its_rare, rows)

    def _from_dense(self, flat: Floats, places: Rows) -> Block:
        if not len(flat):
            return np.empty((len(places), len(places)), np.float32)
        # rows and columns of others are filled later
        block: Block = flat.take(places[:, None] * self._dense_size + places, mode="clip")
        return block

    def _multiplied(self, items: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float64]]:
        mine = self._by_item[items]
        gram = (mine @ mine.T).toarray()
        if self._close is None:
            return [gram]
        return [gram, gram + self._close[items][:, items].toarray() + np.diag(gram.diagonal())]

    def _together(self, groups: Sequence[Rows], rare: Sequence[Rows]) -> Block:
        """Rows of the rare ones of each group, one group after another: a product over nobody but their few users."""
        everybody = self._by_item[np.concatenate(groups)]
        lengths = np.diff(everybody.indptr)
        columns: list[npt.NDArray[np.int32]] = []
        right: list[tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        left, counts, used, at = [], [np.zeros(1, np.int64)], 0, 0
        for group, its_rare in zip(groups, rare, strict=True):
            own = lengths[at : at + len(group)]
            span = slice(everybody.indptr[at], everybody.indptr[at + len(group)])
            at += len(group)
            owners = np.repeat(np.arange(len(group)), own)
            is_rare = np.zeros(len(group), bool)
            is_rare[its_rare] = True
            users, mine = everybody.indices[span], is_rare.take(owners)
            its_users = users[mine]
            # a user is named after one of the own entries: cheaper than counting them through
            self._user_place[its_users] = np.arange(len(its_users), dtype=np.int32)
            columns.append(self._user_place.take(its_users) + np.int32(used))
            places = self._user_place.take(users)
            self._user_place[its_users] = -1
            met = np.flatnonzero(places >= 0)
            right.append((everybody.data[span].take(met), places.take(met) + np.int64(used), owners.take(met)))
            left.append(everybody.data[span][mine])
            counts.append(own[its_rare])
            used += len(its_users)
        data, users, owners = (np.concatenate(parts) for parts in zip(*right, strict=True))
        starts = np.cumsum(np.concatenate(counts))
        size = max(map(len, groups))
        mine = csr_matrix((np.concatenate(left), np.concatenate(columns), starts), (len(starts) - 1, used))
        rows: Block = (mine @ csr_matrix((data, (users, owners)), (used, size))).toarray()
        return rows

    def _add_closeness(self, rows: Block, items: Rows, rare: Rows) -> None:
        assert self._close is not None
        self._item_place[items] = np.arange(len(items), dtype=np.int32)
        starts, ends = self._close.indptr[items[rare]], self._close.indptr[items[rare] + 1]
        lengths = ends - starts
        entries = np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        places = self._item_place.take(self._close.indices.take(entries))
        self._item_place[items] = -1
        met = np.flatnonzero(places >= 0)
        owners = np.repeat(np.arange(len(rare)), lengths).take(met)
        rows[owners, places.take(met)] += self._close.data.take(entries.take(met))


def _fill(block: Block, places: Rows, rows: Block) -> None:
    block[places] = rows
    block[:, places] = rows.T


def _both_ways(one_way: csr_matrix) -> csr_matrix:
    return csr_matrix(one_way + one_way.T)


def _highest(others: npt.NDArray[np.int64], cosine: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    if len(cosine) > count:
        lowest = np.partition(cosine, len(cosine) - count)[len(cosine) - count]
        others, cosine = others[cosine >= lowest], cosine[cosine >= lowest]
    # what ties for the last place is taken by row
    order = np.lexsort((others, -cosine))[:count]
    rising: npt.NDArray[np.int64] = np.sort(others[order[cosine[order] > 0]])
    return rising
