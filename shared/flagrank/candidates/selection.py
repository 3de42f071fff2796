"""Inner products of the items that are open, and the best of them."""

from collections.abc import Sequence

import numpy as np

from flagrank.model.arrays import NO_ROWS, Floats, Mask, Rows

# a copied row costs as much as eight that are read in order
COPY_COST = 8


def open_products(vectors: Floats, vector: Floats, is_open: Mask) -> tuple[Rows, Floats]:
    """Rows (m,) int64 of `vectors` (n, d) and their inner products with `vector` (d,), among them all open rows.

    Where few are open the others are not even read. Where many are, a closed row comes too, with -inf.
    """
    if COPY_COST * np.count_nonzero(is_open) < len(is_open):
        rows = np.flatnonzero(is_open)
        return rows, vectors.take(rows, axis=0) @ vector
    products = vectors @ vector
    products[~is_open] = -np.inf
    return np.arange(len(products)), products


def best(k: int, rows: Rows, scores: Floats) -> tuple[Rows, Floats]:
    """The k rows of the highest scores, best first, ties by row."""
    if len(scores) > k:
        # all that tie with the k-th stay until the sort below has decided between them by row
        keep = (scores >= np.partition(scores, -k)[-k]).nonzero()[0]
        rows, scores = rows.take(keep), scores.take(keep)
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def not_among(rows: Rows, found: Sequence[Rows]) -> Rows:
    """What was found and is not among `rows`, each row once, ascending; no array in `found` has a row twice."""
    if not found:
        return NO_ROWS
    others: Rows = np.sort(found[0]) if len(found) == 1 else np.unique(np.concatenate(found))
    if not len(rows):
        return others
    # `np.setdiff1d` takes three times as long, most of it to look for duplicates that are not there
    known = np.sort(rows)
    left: Rows = others[known.take(known.searchsorted(others), mode="clip") != others]
    return left
