"""Gram matrices of the items: how often two were taken by the same user, and how close in time."""

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

type Block = npt.NDArray[np.float64]


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


def gram_matrices(pairs: Pairs, session_s: float | None) -> list[csr_matrix]:
    """Of co-occurrence, and with `session_s` a second one of the same entries, weighted by closeness in time."""
    together = csr_matrix((pairs.strengths, (pairs.users, pairs.items)), pairs.shape)
    gram = (together.T @ together).tocsr()
    gram.sort_indices()
    if session_s is None:
        return [gram]
    one_way = _close_in_time(pairs, session_s)
    weighted = gram + one_way + one_way.T + diags_array(gram.diagonal())
    return [gram, csr_matrix(weighted)]


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


def item_scale(gram: csr_matrix, popularity_exponent: float) -> npt.NDArray[np.float64]:
    """What each item is multiplied with, (n,): its entry of the diagonal to the power -`popularity_exponent`.

    Divided by the geometric mean, so that a ridge means the same with every exponent; 1 for an item without entries.
    """
    diagonal = gram.diagonal()
    met = diagonal > 0
    scale = np.ones(len(diagonal))
    if met.any():
        logarithms = np.log(diagonal[met])
        scale[met] = np.exp(-popularity_exponent * (logarithms - logarithms.mean()))
    return scale


class GramBlocks:
    """Gram matrices of the same entries, the last of which says who is near, to take small blocks from."""

    def __init__(self, matrices: list[csr_matrix]) -> None:
        self._size = matrices[0].shape[0]
        self._starts = matrices[0].indptr.astype(np.int64)
        self._columns = matrices[0].indices
        self._entries = [matrix.data for matrix in matrices]
        self._norms = np.sqrt(matrices[-1].diagonal())
        # dense where it fits, since gathering from a sparse one is slow
        dense = self._size <= DENSE_ITEMS
        self._flat = [matrix.astype(np.float32).toarray().ravel() for matrix in matrices] if dense else None
        self._place = np.full(self._size, -1, np.int32)

    def nearest(self, item: int, count: int) -> npt.NDArray[np.int64]:
        """The `count` items of highest cosine above 0, fewer if there are not as many, rising."""
        own = slice(self._starts[item], self._starts[item + 1])
        others = self._columns[own].astype(np.int64)
        cosine = self._entries[-1][own] / self._norms[others]
        cosine[others == item] = -np.inf
        order = np.lexsort((others, -cosine))[:count]
        rising: npt.NDArray[np.int64] = np.sort(others[order[cosine[order] > 0]])
        return rising

    def blocks(self, items: npt.NDArray[np.int64]) -> list[Block]:
        """Each matrix's rows and columns of the items."""
        if self._flat is not None:
            at = items[:, None] * self._size + items
            return [flat.take(at).astype(np.float64) for flat in self._flat]
        lengths = self._starts[items + 1] - self._starts[items]
        ends = np.cumsum(lengths)
        entries = np.arange(ends[-1]) + np.repeat(self._starts[items] - ends + lengths, lengths)
        self._place[items] = np.arange(len(items))
        places = self._place.take(self._columns.take(entries))
        self._place[items] = -1
        found = np.flatnonzero(places >= 0)
        at = np.searchsorted(ends, found, side="right") * len(items) + places.take(found)
        blocks = []
        for data in self._entries:
            block = np.zeros(len(items) ** 2)
            block[at] = data.take(entries.take(found))
            blocks.append(block.reshape(len(items), len(items)))
        return blocks
