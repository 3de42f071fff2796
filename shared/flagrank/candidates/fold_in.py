"""The factors of a user whom training has not met, from a history of items."""

import numpy as np

from flagrank.model.arrays import Floats, Rows
from flagrank.model.factors import Factors

# how many interactions of a new user's own the mean user is worth (chosen on folds, infra/decisions/0015)
PRIOR_INTERACTIONS = 2.0


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
