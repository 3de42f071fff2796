"""Evidence about means without a known bound: asymptotic e-processes of one arm or two."""

import math
from dataclasses import dataclass

import numpy as np

from flagrank.delivery.analysis.eprocess import Float64Array, Values

# the asymptotic sequence is tightest at this count; its normal limit is trusted from these counts on. Costs are skewed,
# and a low mean comes with a low spread, so being below takes more data (measured, infra/decisions/0050)
TIGHTEST_AT, ABOVE_FROM, BELOW_FROM = 1000, 100, 400
# (Waudby-Smith et al. 2024, appendix, for alpha = 0.001)
RHO_SQUARED = (-2 * math.log(0.001) + math.log(-2 * math.log(0.001)) + 1) / TIGHTEST_AT
TINY = 1e-100


@dataclass(frozen=True, slots=True)
class Moments:
    """A number of values, their sum and the sum of their squares."""

    count: Values
    total: Values
    squares: Values

    @property
    def mean(self) -> Float64Array:
        """The observed mean; 0 without values."""
        return np.asarray(self.total / np.maximum(self.count, 1.0))

    @property
    def variance(self) -> Float64Array:
        """The variance, as if one more value lay a whole mean away: a few equal values are no certainty."""
        count = np.maximum(self.count, 1.0)
        return np.maximum(self.squares / count - self.mean**2, 0.0) + self.mean**2 / count

    def grown(self, factor: Values) -> "Moments":
        """`factor` times as many of the same values."""
        return Moments(self.count * factor, self.total * factor, self.squares * factor)


@dataclass(frozen=True, slots=True)
class MeanExcess:
    """The excess of a mean without a known bound: the asymptotic, one-sided normal mixture.

    Time is the count of the smaller arm. There is no evidence before the count from which the normal limit is trusted.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024 ("Time-uniform central limit theory and asymptotic
    confidence sequences").
    """

    treatment: Moments
    control: Moments | None = None
    slope: float = 1.0

    def above(self, limit: Values) -> Float64Array:
        """See Evidence."""
        return self._against(limit, ABOVE_FROM, sign=1.0)

    def below(self, limit: Values) -> Float64Array:
        """See Evidence."""
        return self._against(limit, BELOW_FROM, sign=-1.0)

    def grown(self, factor: Values) -> "MeanExcess":
        """See Evidence."""
        return MeanExcess(self.treatment.grown(factor), self.control and self.control.grown(factor), self.slope)

    def _against(self, limit: Values, trusted_from: int, *, sign: float) -> Float64Array:
        excess, count = self.treatment.mean - limit, np.asarray(self.treatment.count, np.float64)
        variance = self.treatment.variance / np.maximum(count, 1.0)
        if self.control is not None:
            excess = excess - self.slope * self.control.mean
            variance = variance + self.slope**2 * self.control.variance / np.maximum(self.control.count, 1.0)
            count = np.minimum(count, self.control.count)
        z = np.maximum(sign * excess, 0.0) / np.sqrt(np.maximum(variance, TINY))
        growth = count * RHO_SQUARED
        half_square = z**2 * growth / (growth + 1) / 2
        evidence = half_square + np.log(2 - np.exp(-half_square)) - np.log1p(growth) / 2
        return np.where(count >= trusted_from, evidence, 0.0)
