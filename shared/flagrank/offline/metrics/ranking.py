"""Recall and NDCG by user, and bootstrap intervals of their means."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.domain import ItemId

# resamples are drawn in parts of at most this many counts, 80 MB
CHUNK_COUNTS = 10_000_000

type RankedIds = Sequence[ItemId]
type PerUser = npt.NDArray[np.float64]


def recall_at_k(ranked: Sequence[RankedIds], relevant: Sequence[Set[ItemId]], k: int) -> PerUser:
    """Hits among the first `k` over the number of held-out items, by user."""
    return np.array(
        [len(held_out & set(ids[:k])) / len(held_out) for ids, held_out in zip(ranked, relevant, strict=True)]
    )


def ndcg_at_k(ranked: Sequence[RankedIds], relevant: Sequence[Set[ItemId]], k: int) -> PerUser:
    """Binary NDCG (Järvelin and Kekäläinen 2002), ideal gain over min(k, number of held-out items), by user."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = [
        discounts[[place for place, item_id in enumerate(ids[:k]) if item_id in held_out]].sum()
        for ids, held_out in zip(ranked, relevant, strict=True)
    ]
    ideal = np.cumsum(discounts)[[min(k, len(held_out)) - 1 for held_out in relevant]]
    return np.array(gains) / ideal


def graded_ndcg_at_k(ranked: Sequence[RankedIds], grades: Sequence[Mapping[ItemId, int]], k: int) -> PerUser:
    """NDCG with the gain 2^grade - 1 (Burges et al. 2005), over the best order of all that has a grade, by list."""
    discounts = 1 / np.log2(np.arange(2, k + 2))

    def dcg(its_grades: Iterable[int]) -> float:
        pairs = zip(its_grades, discounts.tolist(), strict=False)
        return math.fsum(((1 << grade) - 1) * discount for grade, discount in pairs)

    gains = [dcg(known.get(item_id, 0) for item_id in ids[:k]) for ids, known in zip(ranked, grades, strict=True)]
    ideal = [dcg(sorted(known.values(), reverse=True)[:k]) for known in grades]
    shares: PerUser = np.array(gains) / np.array(ideal)
    return shares


def hits_at_k(ranked: Sequence[RankedIds], relevant: Sequence[Set[ItemId]], k: int) -> PerUser:
    """Hits among the first `k` over as many as there could be, min(k, number of relevant items), by list."""
    return np.array(
        [len(right & set(ids[:k])) / min(k, len(right)) for ids, right in zip(ranked, relevant, strict=True)]
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over users with the bounds of its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def document(self) -> dict[str, Any]:
        """As reports show it, to six digits."""
        return {"mean": round(self.mean, 6), "ci95": [round(self.low, 6), round(self.high, 6)]}


def bootstrap(values: PerUser, resamples: int = 2000, seed: int = 0) -> Interval:
    """The percentile bootstrap over users (Efron 1979); for differences by user it is the paired bootstrap."""
    rng = np.random.default_rng(seed)
    evenly = np.full(len(values), 1 / len(values))
    # one stream of random numbers, row after row: the size of the parts changes no draw
    step = max(1, CHUNK_COUNTS // len(values))
    parts = (min(step, resamples - start) for start in range(0, resamples, step))
    means = [rng.multinomial(len(values), evenly, part) @ values / len(values) for part in parts]
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))
