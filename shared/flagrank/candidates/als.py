"""ALS: a new user's vector, and the exact top-k by inner product with seen items masked."""

import numpy as np
import numpy.typing as npt

from flagrank.model.factors import Factors, Floats, Rows

FIRST_BLOCK = 4096

# how many interactions of a new user's own the mean user is worth (chosen on folds, infra/decisions/0015)
PRIOR_INTERACTIONS = 2.0

# float32 products round: the bound is loosened by more than d * 2**-24 can add up to, so no true item is cut
BOUND_SLACK = 1e-4


def fold_in(factors: Factors, history: Rows, prior_interactions: float = PRIOR_INTERACTIONS) -> Floats:
    """The vector (d,) float32 of a user who interacted with these item rows: ALS's own half step, with a prior.

    Solves (Y'Y + λI) (x + κ (x - μ)) + (c - 1) H'H x = c Σh for the history's n factors H, one interaction's confidence
    c and the mean user μ, where κ is `prior_interactions` / n; with none it is equation 4 of Hu, Koren, Volinsky 2008,
    "Collaborative Filtering for Implicit Feedback Datasets". ALS takes every unmet item for a dislike, which drowns
    two or three interactions; here an unmet item counts for what the mean user thinks of it (infra/decisions/0015).
    """
    items = factors.item_factors[np.unique(history)].astype(np.float64)
    confidence = factors.fold_in.confidence
    everything = factors.item_gram + factors.fold_in.regularization * np.eye(items.shape[1])
    prior = prior_interactions / len(items)
    system = (1 + prior) * everything + (confidence - 1) * (items.T @ items)
    target = confidence * items.sum(axis=0) + prior * (everything @ factors.mean_user)
    return np.linalg.solve(system, target).astype(np.float32)


def top_k(
    factors: Factors, user_vector: Floats, k: int, masked: Rows, eligible: npt.NDArray[np.bool_] | None = None
) -> tuple[Rows, Floats]:
    """The k best item rows (int64) and their scores (float32), best first, ties by row; fewer if fewer are left.

    Exact: items lie by falling norm, so by Cauchy-Schwarz nothing from row r on can beat |u| |v_r|, and the scan
    stops once the k-th best does. `masked` rows, in any order, and rows not `eligible` (n,) are left out.
    """
    masked = np.sort(masked)
    user_norm = float(np.linalg.norm(user_vector)) * (1 + BOUND_SLACK)
    rows, scores = np.empty(0, np.int64), np.empty(0, np.float32)
    start, size = 0, max(FIRST_BLOCK, 2 * k)
    while start < len(factors.item_factors):
        full = len(scores) == k
        if full and user_norm * factors.item_norms[start] <= scores[-1]:
            break
        block = factors.item_factors[start : start + size] @ user_vector
        first, last = np.searchsorted(masked, (start, start + len(block)))
        block[masked[first:last] - start] = -np.inf
        if eligible is not None:
            block[~eligible[start : start + len(block)]] = -np.inf
        better = np.flatnonzero(block > (scores[-1] if full else -np.inf))
        rows, scores = _best(k, np.concatenate([rows, better + start]), np.concatenate([scores, block[better]]))
        start += len(block)
        size *= 2
    return rows, scores


def _best(k: int, rows: Rows, scores: Floats) -> tuple[Rows, Floats]:
    if len(scores) > k:
        # all that tie with the k-th stay until the sort below has decided between them by row
        keep = scores >= np.partition(scores, -k)[-k]
        rows, scores = rows[keep], scores[keep]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
