"""Evidence on quantiles, from counts that add up: how many values lie above each rung of a ladder."""

import math
from dataclasses import dataclass

import numpy as np

from flagrank.delivery.analysis.eprocess import Floats, Share, ShareExcess, Values


@dataclass(frozen=True, slots=True)
class QuantileExcess:
    """The excess of a quantile, known from counts above each rung of a ladder (rungs on the last axis, rising).

    Each arm's quantile gets a confidence sequence of its own, which no number of rungs widens (Howard, Ramdas 2022,
    "Sequential estimation of quantiles with applications to A/B testing"); `tail` is the share above the quantile.
    Between rungs nothing is known: a limit counts as the rung above it to fail, and as the one below it to pass.
    """

    ladder: Floats
    tail: float
    treatment: Share
    control: Share | None = None
    slope: float = 1.0

    def above(self, limit: Values) -> Floats:
        """See Evidence; for many looks the limit is one number."""
        higher = _padded(ShareExcess(self.treatment).above(self.tail))
        if self.control is None:
            return higher[..., np.searchsorted(self.ladder, limit)]
        lower = ShareExcess(self.control).below(self.tail)
        rung = np.searchsorted(self.ladder, self.slope * self.ladder + np.asarray(limit)[..., None])
        return _either(np.minimum(higher[..., rung], lower))

    def below(self, limit: Values) -> Floats:
        """See Evidence; for many looks the limit is one number."""
        lower = _padded(ShareExcess(self.treatment).below(self.tail))
        if self.control is None:
            return lower[..., np.searchsorted(self.ladder, limit, "right") - 1]
        higher = ShareExcess(self.control).above(self.tail)
        # no quantile of a time is below nought: that much is known of control without any data
        floor = np.full((*higher.shape[:-1], 1), np.inf)
        reached = self.slope * np.append(0.0, self.ladder) + np.asarray(limit)[..., None]
        rung = np.searchsorted(self.ladder, reached, "right") - 1
        return _either(np.minimum(lower[..., rung], np.concatenate([floor, higher], axis=-1)))

    def grown(self, factor: Values) -> "QuantileExcess":
        """See Evidence."""
        factor = np.asarray(factor)[..., None]
        control = self.control and self.control.grown(factor)
        return QuantileExcess(self.ladder, self.tail, self.treatment.grown(factor), control, self.slope)


def _padded(evidence: Floats) -> Floats:
    # the place past the ladder, which is also the one before it: nothing is known there
    return np.concatenate([evidence, np.full((*evidence.shape[:-1], 1), -np.inf)], axis=-1)


def _either(pairs: Floats) -> Floats:
    # two sequences, either of which may be wrong: each gets half of alpha
    return np.asarray(pairs.max(axis=-1) - math.log(2))
