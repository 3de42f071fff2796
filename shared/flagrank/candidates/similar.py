"""Items that go with those that the user has seen, by the published item-to-item weights."""

import numpy as np
import numpy.typing as npt

from flagrank.candidates.selection import best
from flagrank.candidates.source import NOTHING, CandidateRequest, Found
from flagrank.model.arrays import Mask, Rows, Scores
from flagrank.model.factors import Factors

# where the weights are kept by neighbour, a request reads the lists of this many items
LAST_SEEN = 50

# up to so many items for each weight, a sum for every item costs less than to find out which items are named
DENSE = 16


def similar(factors: Factors, request: CandidateRequest, count: int) -> Found:
    """For a user who has seen something: the open items that go best with it, with their weights. A Source."""
    return most_similar(factors, request.user.seen, count, request.masked, request.eligible)


def most_similar(factors: Factors, seen: Rows, k: int, masked: Rows, eligible: Mask | None = None) -> Found:
    """The k item rows (int64) with the most weight from the seen ones, and their weights (float32), best first.

    `seen` are item rows, oldest first; one row alone gives the items that are most like it. Ties come by row; fewer
    than k where fewer have a weight above 0. `masked` rows, in any order, and rows not `eligible` (n,) are left out.
    A set with `item_weights` is scored as a whole; one with `neighbours` by the lists of the LAST_SEEN last items; a
    set with neither finds nothing.
    """
    rows, scores = _weighed(factors, seen)
    is_open = np.ones(len(factors.item_ids), bool) if eligible is None else eligible.copy()
    is_open[masked] = False
    keep = (scores > 0) & is_open[rows]
    return best(k, rows[keep], scores[keep]) if k > 0 else NOTHING


def _weighed(factors: Factors, seen: Rows) -> Found:
    if factors.item_weights is not None:
        scores = factors.weight_from(seen)
        return np.arange(len(scores)), scores
    if factors.neighbours is None:
        return NOTHING
    seen = seen[-LAST_SEEN:]
    named = factors.neighbours.rows[seen]
    # A list says what its neighbours say of the item, and here it is read the other way round. EASE's weights are a
    # symmetric matrix with each column divided by its diagonal entry (Steck 2019), which falls with popularity.
    turned = factors.popularity[named] / np.maximum(factors.popularity[seen], 1)[:, None]
    return _summed(named.ravel(), (factors.neighbours.session[seen] * turned).ravel(), len(factors.item_ids))


def _summed(rows: npt.NDArray[np.int32], weights: Scores, items: int) -> Found:
    """The sum of each row's weights, float32, by rising row: of the rows that were named at least."""
    if items <= DENSE * len(rows):
        return np.arange(items), np.bincount(rows, weights, items).astype(np.float32)
    known, places = np.unique(rows, return_inverse=True)
    return known.astype(np.int64), np.bincount(places, weights, len(known)).astype(np.float32)
