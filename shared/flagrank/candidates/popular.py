"""The most popular items: for users of whom nothing is known."""

import numpy as np

from flagrank.candidates.source import NOTHING, CandidateRequest, Found
from flagrank.model.factors import Factors


def popular(factors: Factors, request: CandidateRequest, count: int) -> Found:
    """For a cold user: the most popular open items, with their numbers of interactions. A Source."""
    if request.user.vector is not None:
        return NOTHING
    is_open = np.ones(len(factors.popularity), bool) if request.eligible is None else request.eligible.copy()
    is_open[request.masked] = False
    rows = factors.popular_rows[is_open[factors.popular_rows]][:count]
    return rows, factors.popularity[rows]
