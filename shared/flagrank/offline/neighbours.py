"""Item-to-item signals: EASE's regression, each item on its nearest items alone, so that it stays sparse."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix
from threadpoolctl import threadpool_limits

from flagrank.factors import Neighbours
from flagrank.offline.interactions import Interactions

# a Gram matrix of this many items is gathered from faster as a dense one, in 100 MB
DENSE_ITEMS = 5000
MAX_HISTORY = 1000
CHUNK_PAIRS = 5_000_000


@dataclass(frozen=True, slots=True)
class NeighbourParameters:
    """`count` neighbours an item, ridge `regularization`, and the decay of co-occurrence with time, in seconds."""

    count: int = 200
    regularization: float = 500.0
    session_s: float = 600.0


def learn_neighbours(
    item_ids: npt.NDArray[Any], interactions: Interactions, parameters: NeighbourParameters
) -> Neighbours:
    """Neighbours of the items `item_ids` (n,), in that order, from interactions that hold each pair once.

    EASE (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data") is, column by column, the ridge regression
    of an item on all others. Here each column is solved on its `count` nearest items by cosine, which is exact where
    `count` is n - 1, and needs no n by n inverse. `session` regresses the same with a Gram matrix to which each user
    adds exp(-|dt| / `session_s`) for every two items.
    """
    pairs = _pairs(item_ids, interactions)
    together = csr_matrix((np.ones(len(pairs.users), np.float64), (pairs.users, pairs.items)), pairs.shape)
    gram = (together.T @ together).tocsr()
    session = (gram + _session_gram(pairs, parameters.session_s)).tocsr()
    norms = np.sqrt(session.diagonal())
    ready = [_Blocks(matrix) for matrix in (gram, session)]
    count = min(parameters.count, len(item_ids) - 1)
    rows = np.zeros((len(item_ids), count), np.int32)
    weights = np.zeros((2, len(item_ids), count), np.float32)
    # the systems are too small for BLAS threads to do anything but wait for each other
    with threadpool_limits(1, "blas"):
        for item in range(len(item_ids)):
            nearest = _nearest(session, norms, item, count)
            rows[item, : len(nearest)] = nearest
            for which, matrix in enumerate(ready):
                weights[which, item, : len(nearest)] = matrix.ridge(nearest, item, parameters.regularization)
    return Neighbours(rows, *weights)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Interactions as numbers, by user and within a user by time: users, items int64 and times_s float64, all (m,)."""

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    times_s: npt.NDArray[np.float64]
    shape: tuple[int, int]


def _pairs(item_ids: npt.NDArray[Any], interactions: Interactions) -> _Pairs:
    order = np.argsort(item_ids, kind="stable")
    items = order[np.searchsorted(item_ids, interactions.items, sorter=order)]
    user_ids, users = np.unique(interactions.users, return_inverse=True)
    by_user = np.lexsort((interactions.timestamps, users))
    times_s = interactions.timestamps[by_user].astype(np.float64)
    return _Pairs(users[by_user], items[by_user], times_s, (len(user_ids), len(item_ids)))


def _session_gram(pairs: _Pairs, session_s: float) -> csr_matrix:
    items = pairs.shape[1]
    total = csr_matrix((items, items))
    left: list[npt.NDArray[np.int64]] = []
    right: list[npt.NDArray[np.int64]] = []
    weights: list[npt.NDArray[np.float64]] = []
    waiting = 0
    ends = np.cumsum(np.bincount(pairs.users, minlength=pairs.shape[0])).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        # the latest of an endless history: its square is what this costs
        user = slice(max(start, end - MAX_HISTORY), end)
        closeness = np.exp(-np.abs(pairs.times_s[user, None] - pairs.times_s[None, user]) / session_s)
        one, other = np.nonzero(closeness > 1e-3)
        left.append(pairs.items[user][one])
        right.append(pairs.items[user][other])
        weights.append(closeness[one, other])
        waiting += len(one)
        if waiting > CHUNK_PAIRS or end == ends[-1]:
            entries = (np.concatenate(weights), (np.concatenate(left), np.concatenate(right)))
            total = total + coo_matrix(entries, (items, items)).tocsr()
            left, right, weights, waiting = [], [], [], 0
    return total


def _nearest(gram: csr_matrix, norms: npt.NDArray[np.float64], item: int, count: int) -> npt.NDArray[np.int64]:
    start, end = gram.indptr[item], gram.indptr[item + 1]
    others = gram.indices[start:end].astype(np.int64)
    cosine = gram.data[start:end] / norms[others]
    cosine[others == item] = -np.inf
    order = np.lexsort((others, -cosine))[:count]
    nearest: npt.NDArray[np.int64] = np.sort(others[order[cosine[order] > 0]])
    return nearest


class _Blocks:
    """A Gram matrix to take small blocks from: dense where it fits, since gathering from a sparse one is slow."""

    def __init__(self, gram: csr_matrix) -> None:
        self._size = gram.shape[0]
        self._sparse = gram
        self._flat = gram.astype(np.float32).toarray().ravel() if self._size <= DENSE_ITEMS else None

    def ridge(self, support: npt.NDArray[np.int64], item: int, regularization: float) -> npt.NDArray[np.float64]:
        """The item's regression on the rising items `support`."""
        system = self._block(np.append(support, item), support)
        target = system[-1]
        system = system[:-1]
        system[np.diag_indices_from(system)] += regularization
        solved: npt.NDArray[np.float64] = np.linalg.solve(system, target)
        return solved

    def _block(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        if self._flat is None:
            block: npt.NDArray[np.float64] = self._sparse[np.ix_(rows, columns)].toarray()
            return block
        gathered: npt.NDArray[np.float64] = self._flat.take(rows[:, None] * self._size + columns).astype(np.float64)
        return gathered
