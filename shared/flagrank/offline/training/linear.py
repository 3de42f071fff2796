"""A linear listwise model: the softmax cross-entropy of ListNet (Cao et al. 2007) over each user's candidates."""

import numpy as np
from scipy.optimize import minimize

from flagrank.model.stage2 import Linear, Vector
from flagrank.offline.training.examples import Examples

PENALTY = 1e-3


def fit_linear(examples: Examples, penalty: float = PENALTY) -> Linear:
    """The weights that give each user's held-out items the most probability among the candidates, L2-penalised."""
    mean = examples.table.mean(axis=0, dtype=np.float64)
    # the deviation of a constant feature is 0
    deviation = examples.table.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1.0)
    table = (examples.table - mean) / scale
    starts = np.concatenate([[0], np.cumsum(examples.sizes)[:-1]])
    user = np.repeat(np.arange(len(examples.sizes)), examples.sizes)
    hits = np.add.reduceat(examples.labels.astype(np.float64), starts)
    users = max(1, int((hits > 0).sum()))
    target = examples.labels / np.maximum(hits, 1)[user]
    has_hits = (hits > 0)[user]

    def loss(weights: Vector) -> tuple[float, Vector]:
        scores = table @ weights
        scores -= np.maximum.reduceat(scores, starts)[user]
        masses = np.exp(scores)
        totals = np.add.reduceat(masses, starts)[user]
        value = -(target * (scores - np.log(totals))).sum() / users + penalty * weights @ weights
        slope: Vector = table.T @ (masses / totals * has_hits - target) / users + 2 * penalty * weights
        return float(value), slope

    found = minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B")
    return Linear(mean=tuple(mean.tolist()), scale=tuple(scale.tolist()), weights=tuple(found.x.tolist()))
