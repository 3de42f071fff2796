"""Evidence about shares: exact e-processes of one arm or two."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flagrank.delivery.analysis.eprocess import Float64Array, Values
from flagrank.delivery.analysis.log_gamma import log_gamma

# a beta(1/2, 1/2) mixture costs at most half a log of the count more than knowing the truth (Krichevsky, Trofimov 1981)
JEFFREYS = (0.5, 0.5)
HALVINGS = 45
TINY = 1e-100


@dataclass(frozen=True)
class Proportion:
    """`successes` of `trials`. Fractions count too: a sum of values in 0..1 varies no more than a sum of coins."""

    successes: Values
    trials: Values

    def grown(self, factor: Values) -> "Proportion":
        """The same share of `factor` times the trials."""
        return Proportion(self.successes * factor, self.trials * factor)

    @cached_property
    def rate(self) -> Float64Array:
        """The observed share, 0..1; 0 without trials."""
        return np.asarray(self.successes / np.maximum(self.trials, 1.0))

    @cached_property
    def log_marginal(self) -> Float64Array:
        """The log likelihood of the mixture over all shares, beta(s + 1/2, n - s + 1/2) / beta(1/2, 1/2)."""
        first, second = JEFFREYS
        won, lost = np.add(self.successes, first), np.subtract(self.trials, self.successes) + second
        of_won, of_lost = log_gamma(np.stack(np.broadcast_arrays(won, lost)))
        # beta(1/2, 1/2) is pi
        return np.asarray(of_won + of_lost - log_gamma(np.add(self.trials, first + second)) - math.log(math.pi))

    def log_likelihood(self, rate: Float64Array) -> Float64Array:
        """The log likelihood of a share, 0..1."""
        failures = np.subtract(self.trials, self.successes)
        of_won = np.where(np.greater(self.successes, 0), self.successes * np.log(np.maximum(rate, TINY)), 0.0)
        return of_won + np.where(failures > 0, failures * np.log(np.maximum(1 - rate, TINY)), 0.0)


@dataclass(frozen=True, slots=True)
class ProportionExcess:
    """The excess of a share: beta-binomial mixtures of both arms against the likeliest state within the limit.

    It is exact at every count. Without control the limit applies to the treated share itself. Sources: Robbins 1970;
    Howard, Ramdas, McAuliffe, Sekhon 2021 ("Time-uniform, nonparametric, nonasymptotic confidence sequences").
    """

    treatment: Proportion
    control: Proportion | None = None
    slope: float = 1.0

    def above(self, limit: Values) -> Float64Array:
        """See Evidence."""
        return self._against(limit, above=True)

    def below(self, limit: Values) -> Float64Array:
        """See Evidence."""
        return self._against(limit, above=False)

    def grown(self, factor: Values) -> "ProportionExcess":
        """See Evidence."""
        return ProportionExcess(self.treatment.grown(factor), self.control and self.control.grown(factor), self.slope)

    def _against(self, limit: Values, *, above: bool) -> Float64Array:
        limit = np.asarray(limit)
        treated, rate = self.treatment, self.treatment.rate
        if self.control is None:
            likeliest = np.minimum(rate, limit) if above else np.maximum(rate, limit)
            return treated.log_marginal - treated.log_likelihood(np.clip(likeliest, 0.0, 1.0))
        control_rate = self.control.rate
        line = self.slope * control_rate + limit
        inside = rate <= line if above else rate >= line
        edge = _likeliest_on_line(treated, self.control, self.slope, limit)
        likeliest = treated.log_likelihood(np.where(inside, rate, np.clip(self.slope * edge + limit, 0.0, 1.0)))
        likeliest = likeliest + self.control.log_likelihood(np.where(inside, control_rate, edge))
        return treated.log_marginal + self.control.log_marginal - likeliest


def _likeliest_on_line(
    treatment: Proportion, control: Proportion, slope: float, intercept: Float64Array
) -> Float64Array:
    # the log likelihood is concave along the line, so its derivative changes sign once. Multiplied by both arms'
    # rate * (1 - rate), which are positive, the derivative has no poles
    low = np.clip(-intercept / slope, 0.0, 1.0) + np.zeros_like(treatment.rate)
    width = np.clip((1 - intercept) / slope, 0.0, 1.0) - low
    for _ in range(HALVINGS):
        width = width / 2
        control_rate = low + width
        rate = slope * control_rate + intercept
        treated = slope * (treatment.successes - treatment.trials * rate) * (control_rate * (1 - control_rate))
        controls = (control.successes - control.trials * control_rate) * (rate * (1 - rate))
        low = low + width * (treated + controls > 0)
    return low + width / 2
