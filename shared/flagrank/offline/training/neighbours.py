"""Item-to-item signals: EASE's regression, each item on its nearest items alone, so that it stays sparse."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from scipy.sparse import coo_matrix, csr_matrix, diags_array
from threadpoolctl import threadpool_limits

from flagrank.model.factors import Neighbours
from flagrank.offline.data.interactions import Interactions
from flagrank.offline.training.progress import Progress, silent

# a Gram matrix of this many items is gathered from faster as a dense one, in 100 MB
DENSE_ITEMS = 5000
# the latest of an endless history: its square is what a user costs
MAX_HISTORY = 1000
CHUNK_PAIRS = 5_000_000
MIN_CLOSENESS = 1e-3

type Block = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NeighbourParameters:
    """`count` neighbours an item, ridge `regularization`, and the decay of co-occurrence with time, in seconds."""

    count: int = 200
    regularization: float = 500.0
    session_s: float = 600.0


def learn_neighbours(
    item_ids: npt.NDArray[Any],
    interactions: Interactions,
    parameters: NeighbourParameters,
    *,
    timed: bool = True,
    progress: Progress = silent,
) -> Neighbours:
    """Neighbours of the items `item_ids` (n,), in that order, from interactions that hold each pair once.

    EASE (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data") is, column by column, the ridge regression
    of an item on all others. Here each column is solved on its `count` nearest items by cosine, which is exact where
    `count` is n - 1, and needs no n by n inverse. `session` regresses the same with a Gram matrix to which each user
    adds exp(-|dt| / `session_s`) for every two items; where the timestamps are no times (`timed`) it equals `ease`.
    Of each user the latest MAX_HISTORY interactions count.
    """
    pairs = _pairs(item_ids, interactions)
    grams = _Grams(_gram_matrices(pairs, parameters.session_s if timed else None))
    count = min(parameters.count, len(item_ids) - 1)
    rows = np.zeros((len(item_ids), count), np.int32)
    weights = np.zeros((2, len(item_ids), count), np.float32)
    # the systems are too small for BLAS threads to do anything but wait for each other
    with threadpool_limits(1, "blas"):
        for item in range(len(item_ids)):
            nearest = grams.nearest(item, count)
            rows[item, : len(nearest)] = nearest
            if len(nearest):
                blocks = grams.blocks(np.append(nearest, item))
                # one matrix fills both rows of weights, two fill one each
                weights[:, item, : len(nearest)] = [_ridge(block, parameters.regularization) for block in blocks]
            progress("finding neighbours", item + 1, len(item_ids))
    return Neighbours(rows, *weights)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Interactions as numbers, by user and in a user by time, all (m,): users int64, items int32, times_s float64."""

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    times_s: npt.NDArray[np.float64]
    shape: tuple[int, int]


def _pairs(item_ids: npt.NDArray[Any], interactions: Interactions) -> _Pairs:
    order = np.argsort(item_ids, kind="stable")
    items = order[np.searchsorted(item_ids, interactions.items, sorter=order)].astype(np.int32)
    user_ids, users = np.unique(interactions.users, return_inverse=True)
    by_user = np.lexsort((interactions.timestamps, users))
    counts = np.bincount(users)
    from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(users))
    kept = by_user[from_end <= MAX_HISTORY]
    times_s = interactions.timestamps[kept].astype(np.float64)
    return _Pairs(users[kept], items[kept], times_s, (len(user_ids), len(item_ids)))


def _gram_matrices(pairs: _Pairs, session_s: float | None) -> list[csr_matrix]:
    """Of co-occurrence, and with `session_s` a second one of the same entries, weighted by closeness in time."""
    together = csr_matrix((np.ones(len(pairs.users), np.float64), (pairs.users, pairs.items)), pairs.shape)
    gram = (together.T @ together).tocsr()
    gram.sort_indices()
    if session_s is None:
        return [gram]
    one_way = _close_in_time(pairs, session_s)
    weighted = gram + one_way + one_way.T + diags_array(gram.diagonal())
    return [gram, csr_matrix(weighted)]


def _close_in_time(pairs: _Pairs, session_s: float) -> csr_matrix:
    items = pairs.shape[1]
    total = csr_matrix((items, items))
    waiting: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float64]]] = []
    pending = 0
    ends = np.cumsum(np.bincount(pairs.users, minlength=pairs.shape[0])).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        its_items, times_s = pairs.items[start:end], pairs.times_s[start:end]
        earlier, later = _within(times_s, -session_s * np.log(MIN_CLOSENESS))
        closeness = np.exp((times_s[earlier] - times_s[later]) / session_s)
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


def _ridge(block: Block, regularization: float) -> npt.NDArray[np.float64]:
    """The regression of a Gram matrix's last item on the ones before it."""
    block.flat[:: len(block) + 1] += regularization
    # symmetric and positive definite: half the work of a general system
    _, solved, failed = lapack.dposv(block[:-1, :-1], block[-1, :-1])
    if failed:
        raise np.linalg.LinAlgError("a Gram matrix with a ridge must be positive definite")
    weights: npt.NDArray[np.float64] = solved
    return weights


class _Grams:
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
