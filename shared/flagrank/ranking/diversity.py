"""Maximal marginal relevance over item vectors (Carbonell and Goldstein 1998): diversity in code, not in the prompt."""

from collections.abc import Sequence

import numpy as np

from flagrank.domain import Ranked
from flagrank.model.arrays import Floats


def mmr(ranked: Sequence[Ranked], item_vectors: Floats, mmr_lambda: float, k: int) -> list[Ranked]:
    """The list with its first `k` places chosen greedily by λ * relevance - (1 - λ) * similarity to the closest chosen.

    Relevance is the place in the list, 1 for the first down to 0: scores of head and tail are on different scales.
    Similarity is the cosine of the item vectors, factors or embeddings, (n, d) float32 by item row.
    λ = 1 returns the list as it is.
    """
    k = min(k, len(ranked))
    if mmr_lambda >= 1 or k < 2:
        return list(ranked)
    factors = item_vectors[[entry.candidate.row for entry in ranked]]
    directions = factors / np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), 1e-12)
    relevance = 1 - np.arange(len(ranked)) / max(1, len(ranked) - 1)
    closest = np.full(len(ranked), -1.0)
    open_places = np.ones(len(ranked), bool)
    chosen: list[int] = []
    for _ in range(k):
        gains = mmr_lambda * relevance - (1 - mmr_lambda) * closest
        place = int(np.argmax(np.where(open_places, gains, -np.inf)))
        chosen.append(place)
        open_places[place] = False
        closest = np.maximum(closest, directions @ directions[place])
    return [ranked[place] for place in chosen] + [ranked[place] for place in np.flatnonzero(open_places).tolist()]
