"""Evidence about quantiles, from counts that add up: how many values lie above each rung of a ladder."""

import math
from dataclasses import dataclass

import numpy as np

from flagrank.delivery.analysis.eprocess import Float64Array, Values
from flagrank.delivery.analysis.proportions import Proportion, ProportionExcess


@dataclass(frozen=True, slots=True)
class QuantileExcess:
    """The excess of a quantile, from the counts above each rung of a ladder. Rungs rise along the last axis.

    `tail` is the share above the quantile. Each arm's quantile has a confidence sequence of its own, and more rungs do
    not widen it (Howard, Ramdas 2022, "Sequential estimation of quantiles with applications to A/B testing"). Nothing
    is known between two rungs: to fail, a limit counts as the rung above it; to pass, as the rung below it.
    """

    ladder: Float64Array
    tail: float
    treatment: Proportion
    control: Proportion | None = None
    slope: float = 1.0

    def above(self, limit: Values) -> Float64Array:
        """See Evidence. For many looks the limit is one number."""
        higher = _padded(ProportionExcess(self.treatment).above(self.tail))
        if self.control is None:
            return higher[..., np.searchsorted(self.ladder, limit)]
        lower = ProportionExcess(self.control).below(self.tail)
        rung = np.searchsorted(self.ladder, self.slope * self.ladder + np.asarray(limit)[..., None])
        return _either(np.minimum(higher[..., rung], lower))

    def below(self, limit: Values) -> Float64Array:
        """See Evidence. For many looks the limit is one number."""
        lower = _padded(ProportionExcess(self.treatment).below(self.tail))
        if self.control is None:
            return lower[..., np.searchsorted(self.ladder, limit, "right") - 1]
        higher = ProportionExcess(self.control).above(self.tail)
        # a time is never below zero: the control's quantile is known to be above that without any data
        floor = np.full((*higher.shape[:-1], 1), np.inf)
        reached = self.slope * np.append(0.0, self.ladder) + np.asarray(limit)[..., None]
        rung = np.searchsorted(self.ladder, reached, "right") - 1
        return _either(np.minimum(lower[..., rung], np.concatenate([floor, higher], axis=-1)))

    def grown(self, factor: Values) -> "QuantileExcess":
        """See Evidence."""
        factor = np.asarray(factor)[..., None]
        control = self.control and self.control.grown(factor)
        return QuantileExcess(self.ladder, self.tail, self.treatment.grown(factor), control, self.slope)


def _padded(evidence: Float64Array) -> Float64Array:
    # one more place after the last rung, which index -1 reaches too: nothing is known there
    return np.concatenate([evidence, np.full((*evidence.shape[:-1], 1), -np.inf)], axis=-1)


def _either(pairs: Float64Array) -> Float64Array:
    # each of the two sequences may be wrong: each gets half of alpha
    return np.asarray(pairs.max(axis=-1) - math.log(2))
