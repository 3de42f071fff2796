"""Item-to-item weights: EASE, on all items of a small catalogue, on each item's nearest ones in a large one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from flagrank.model.arrays import Floats, Rows
from flagrank.model.factors import Neighbours
from flagrank.offline.data.interactions import Interactions
from flagrank.offline.training.gram import Block, GramBlocks, gram_matrix, item_scale, pairs_of
from flagrank.offline.training.progress import Progress, silent
from flagrank.offline.training.workers import Workers

# up to here every item has a weight for every other: 36 MB in memory, half of it published
WHOLE_ITEMS = 3000
MANY_NEIGHBOURS = 200
# a second of work, so that progress moves and both cores finish together
CHUNK_ITEMS = 500
# blocks that are made together: they fit in the processor's cache
GROUPS = 32


@dataclass(frozen=True, slots=True)
class NeighbourParameters:
    """`count` neighbours an item; None: all items of a catalogue of up to WHOLE_ITEMS, MANY_NEIGHBOURS in a larger one.

    `regularization` is the ridge, `session_s` the decay of co-occurrence with time in seconds, `rating_weight` what a
    rating point adds to an interaction. `popularity_exponent` makes popular items count for less (see `item_scale`).
    """

    count: int | None = None
    regularization: float = 500.0
    session_s: float = 600.0
    rating_weight: float = 0.25
    popularity_exponent: float = 0.2

    def resolved(self, items: int) -> int | None:
        """How many neighbours each of so many items gets; None: all."""
        return MANY_NEIGHBOURS if self.count is None and items > WHOLE_ITEMS else self.count


def learn_item_weights(
    item_ids: npt.NDArray[Any], interactions: Interactions, parameters: NeighbourParameters, *, timed: bool = True
) -> Floats:
    """What each item (row), once seen, says of each other (column), (n, n) float32 with a zero diagonal.

    EASE (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data") is the ridge regression of every item on
    all others, in closed form. Its Gram matrix is that of `learn_neighbours` by closeness in time. The weights are
    rounded to float16, in which they are published.
    """
    pairs = pairs_of(item_ids, interactions, parameters.rating_weight)
    gram = gram_matrix(pairs, parameters.session_s if timed else None)
    scale = item_scale(gram.diagonal(), parameters.popularity_exponent)
    matrix = gram.toarray() * scale[:, None] * scale
    matrix.flat[:: len(matrix) + 1] += parameters.regularization
    factor, failed = lapack.dpotrf(matrix, overwrite_a=True)
    assert not failed, "a Gram matrix with a ridge is positive definite"
    upper, _ = lapack.dpotri(factor, overwrite_c=True)
    precision = np.triu(upper) + np.triu(upper, 1).T
    weights = scale[:, None] * precision / -np.diag(precision)
    np.fill_diagonal(weights, 0)
    published: Floats = weights.astype(np.float16).astype(np.float32)
    return published


def learn_neighbours(
    item_ids: npt.NDArray[Any],
    interactions: Interactions,
    parameters: NeighbourParameters,
    *,
    timed: bool = True,
    progress: Progress = silent,
    workers: Workers | None = None,
) -> Neighbours:
    """Neighbours of the items `item_ids` (n,), in that order, from interactions that hold each pair once.

    EASE is, column by column, the ridge regression of an item on all others. Here each column is solved on its nearest
    items by cosine, `count` of them, which is exact where that is n - 1, and needs no n by n inverse. `session`
    regresses the same with a Gram matrix to which each user adds exp(-|dt| / `session_s`) for every two items; where
    the timestamps are no times (`timed`) it equals `ease`. `progress` hears of the number of items done. The result is
    the same for any number of `workers`.
    """
    pairs = pairs_of(item_ids, interactions, parameters.rating_weight)
    grams = GramBlocks(pairs, parameters.session_s if timed else None)
    scale = item_scale(grams.diagonals[-1], parameters.popularity_exponent).astype(np.float32)
    count = min(parameters.count or MANY_NEIGHBOURS, len(item_ids) - 1)
    regressions = Regressions(grams, scale, parameters.regularization, count)
    starts = range(0, len(item_ids), CHUNK_ITEMS)
    chunks = [np.arange(start, min(start + CHUNK_ITEMS, len(item_ids))) for start in starts]
    rows = np.zeros((len(item_ids), count), np.int32)
    weights = np.zeros((2, len(item_ids), count), np.float32)
    found = (workers or Workers()).map(Regressions.solved, regressions, chunks)
    for chunk, (its_rows, its_weights) in zip(chunks, found, strict=True):
        rows[chunk], weights[:, chunk] = its_rows, its_weights
        progress("finding neighbours", int(chunk[-1]) + 1, len(item_ids))
    return Neighbours(rows, *weights)


@dataclass(frozen=True, slots=True)
class Regressions:
    """The regression of any item on its `count` nearest ones, with what all of them share."""

    grams: GramBlocks
    scale: Floats
    regularization: float
    count: int

    def solved(self, items: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], Floats]:
        """The items' neighbours (m, count) and both weights (2, m, count)."""
        rows = np.zeros((len(items), self.count), np.int32)
        weights = np.zeros((2, len(items), self.count), np.float32)
        for start in range(0, len(items), GROUPS):
            part = items[start : start + GROUPS]
            nearest = self.grams.nearest(part, self.count)
            members = [np.append(its_nearest, item) for its_nearest, item in zip(nearest, part, strict=True)]
            blocks = self.grams.blocks(members)
            for place, group in enumerate(members, start):
                rows[place, : len(group) - 1] = group[:-1]
                # one matrix fills both rows of weights, two fill one each
                solved = [self._weights(each[place - start], group) for each in blocks]
                weights[:, place, : len(group) - 1] = solved
        return rows, weights

    def _weights(self, block: Block, members: Rows) -> Floats:
        scale = self.scale[members]
        block *= scale[:, None]
        block *= scale
        weights: Floats = _ridge(block, self.regularization) * scale[:-1] if len(block) > 1 else scale[:-1]
        return weights


def _ridge(block: Block, regularization: float) -> Floats:
    """The regression of a Gram matrix's last item on the ones before it."""
    block.flat[:: len(block) + 1] += regularization
    # symmetric and positive definite: half the work of a general system
    _, solved, failed = lapack.sposv(block[:-1, :-1], block[-1, :-1])
    if failed:
        raise np.linalg.LinAlgError("a Gram matrix with a ridge must be positive definite")
    weights: Floats = solved
    return weights
