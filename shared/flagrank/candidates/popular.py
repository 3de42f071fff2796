"""The most popular items: for users of whom nothing is known."""

import numpy as np

from flagrank.model.factors import Factors, Floats, Mask, Rows


def most_popular(factors: Factors, k: int, masked: Rows, eligible: Mask | None = None) -> tuple[Rows, Floats]:
    """The k most popular item rows that are neither masked nor ineligible, with their numbers of interactions."""
    is_open = np.ones(len(factors.popularity), bool) if eligible is None else eligible.copy()
    is_open[masked] = False
    rows = factors.popular_rows[is_open[factors.popular_rows]][:k]
    return rows, factors.popularity[rows]
