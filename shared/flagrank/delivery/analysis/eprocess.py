"""Evidence that holds however often one looks: e-processes of two arms, from their cumulative counts alone.

If a hypothesis is true, its e-process starts at one and is not expected to grow, so the chance that it ever reaches
1 / alpha is at most alpha (Ville 1939). The limits that it does not reject form a confidence sequence. Logarithms are
natural, everything works on arrays of looks elementwise, and what is compared is treatment - slope * control.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

type Floats = npt.NDArray[np.float64]
type Values = float | Floats

# a beta(1/2, 1/2) mixture costs at most half a log of the count more than knowing the truth (Krichevsky, Trofimov 1981)
JEFFREYS = (0.5, 0.5)
HALVINGS = 45
ZOOM, ZOOMS = 64, 5
TINY = 1e-100

# where the asymptotic sequence is at its tightest, and from where on its normal limit is trusted; costs are skewed, so
# that a low mean comes with a low spread: to be below takes longer (measured, infra/decisions/0050)
TIGHTEST_AT, ABOVE_FROM, BELOW_FROM = 1000, 100, 400
# (Waudby-Smith et al. 2024, appendix, for alpha = 0.001)
RHO_SQUARED = (-2 * math.log(0.001) + math.log(-2 * math.log(0.001)) + 1) / TIGHTEST_AT

_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])


class Evidence(Protocol):
    """What two arms, or one, tell about an excess: natural logs of e-processes."""

    def above(self, limit: Values) -> Floats:
        """That the excess is above the limit; where positive, it never rises with the limit."""

    def below(self, limit: Values) -> Floats:
        """That the excess is below the limit; where positive, it never falls with the limit."""

    def grown(self, factor: Values) -> "Evidence":
        """What so many times the data of one look would tell if the arms went on as they did."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many. Fractions count too: a sum of values in 0..1 is no wilder than one of coins."""

    successes: Values
    trials: Values

    def grown(self, factor: Values) -> "Share":
        """The same share of more."""
        return Share(self.successes * factor, self.trials * factor)

    @property
    def rate(self) -> Floats:
        """The observed share, 0 of nothing."""
        return np.asarray(self.successes / np.maximum(self.trials, 1.0))


@dataclass(frozen=True, slots=True)
class ShareExcess:
    """The excess of a share: beta-binomial mixtures of both arms against the likeliest state within the limit.

    Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021 ("Time-uniform, nonparametric, nonasymptotic confidence
    sequences"). Exact at every count. Without control the treated share itself is what is limited.
    """

    treatment: Share
    control: Share | None = None
    slope: float = 1.0
    offset: float = 0.0

    def above(self, limit: Values) -> Floats:
        """See Evidence."""
        return self._against(limit, above=True)

    def below(self, limit: Values) -> Floats:
        """See Evidence."""
        return self._against(limit, above=False)

    def grown(self, factor: Values) -> "ShareExcess":
        """See Evidence."""
        control = self.control and self.control.grown(factor)
        return ShareExcess(self.treatment.grown(factor), control, self.slope, self.offset)

    def _against(self, limit: Values, *, above: bool) -> Floats:
        limit = np.asarray(limit) + self.offset
        treated, rate = self.treatment, self.treatment.rate
        if self.control is None:
            worst = np.minimum(rate, limit) if above else np.maximum(rate, limit)
            return _log_marginal(treated) - _log_likelihood(treated, np.clip(worst, 0.0, 1.0))
        control_rate = self.control.rate
        line = self.slope * control_rate + limit
        inside = rate <= line if above else rate >= line
        edge = _likeliest_on_line(treated, self.control, self.slope, limit)
        likeliest = _log_likelihood(treated, np.where(inside, rate, np.clip(self.slope * edge + limit, 0.0, 1.0)))
        likeliest += _log_likelihood(self.control, np.where(inside, control_rate, edge))
        return _log_marginal(treated) + _log_marginal(self.control) - likeliest


@dataclass(frozen=True, slots=True)
class Moments:
    """So many values, their sum and the sum of their squares."""

    count: Values
    total: Values
    squares: Values

    @property
    def mean(self) -> Floats:
        """The observed mean, 0 of nothing."""
        return np.asarray(self.total / np.maximum(self.count, 1.0))

    @property
    def variance(self) -> Floats:
        """As if one more value had been a whole mean away, so that a few equal values are no certainty."""
        count = np.maximum(self.count, 1.0)
        return np.maximum(self.squares / count - self.mean**2, 0.0) + self.mean**2 / count

    def grown(self, factor: Values) -> "Moments":
        """The same values again."""
        return Moments(self.count * factor, self.total * factor, self.squares * factor)


@dataclass(frozen=True, slots=True)
class MeanExcess:
    """The excess of a mean without a known bound: the asymptotic, one-sided normal mixture.

    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024 ("Time-uniform central limit theory and asymptotic confidence
    sequences"). Time is the count of the smaller arm; early on it tells nothing.
    """

    treatment: Moments
    control: Moments | None = None
    slope: float = 1.0

    def above(self, limit: Values) -> Floats:
        """See Evidence."""
        return self._against(limit, ABOVE_FROM, sign=1.0)

    def below(self, limit: Values) -> Floats:
        """See Evidence."""
        return self._against(limit, BELOW_FROM, sign=-1.0)

    def grown(self, factor: Values) -> "MeanExcess":
        """See Evidence."""
        return MeanExcess(self.treatment.grown(factor), self.control and self.control.grown(factor), self.slope)

    def _against(self, limit: Values, trusted_from: int, *, sign: float) -> Floats:
        excess, count = self.treatment.mean - limit, np.asarray(self.treatment.count, np.float64)
        variance = self.treatment.variance / np.maximum(count, 1.0)
        if self.control is not None:
            excess = excess - self.slope * self.control.mean
            variance = variance + self.slope**2 * self.control.variance / np.maximum(self.control.count, 1.0)
            count = np.minimum(count, self.control.count)
        z = np.maximum(sign * excess, 0.0) / np.sqrt(np.maximum(variance, TINY))
        growth = count * RHO_SQUARED
        half_square = z**2 * growth / (growth + 1) / 2
        told = half_square + np.log(2 - np.exp(-half_square)) - np.log1p(growth) / 2
        return np.where(count >= trusted_from, told, 0.0)


def split_p_value(treated: float, controls: float, treated_share: float) -> float:
    """The chance of a split at least as far from the one wanted: chi-square, one degree of freedom.

    One with fewer than five expected in an arm, which chi-square cannot judge.
    """
    total = treated + controls
    if min(total * treated_share, total * (1 - treated_share)) < 5:
        return 1.0
    return math.erfc(abs(treated - total * treated_share) / math.sqrt(2 * total * treated_share * (1 - treated_share)))


def bounds(evidence: Evidence, span: tuple[float, float], above_log: float, below_log: float) -> tuple[float, float]:
    """The confidence sequence of one look: the lowest and highest excess within the span that is not rejected."""
    return (
        _boundary(lambda limits: evidence.above(limits) >= above_log, *span),
        _boundary(lambda limits: evidence.below(limits) >= below_log, *reversed(span)),
    )


def _boundary(rejected: Callable[[Floats], npt.NDArray[np.bool_]], rejected_end: float, other_end: float) -> float:
    for _ in range(ZOOMS):
        limits = np.linspace(rejected_end, other_end, ZOOM + 1)
        last = int(np.argmin(np.append(rejected(limits[:-1]), False))) - 1
        if last < 0:
            break
        rejected_end, other_end = float(limits[last]), float(limits[last + 1])
    return rejected_end


def _log_beta(first: Values, second: Values) -> Floats:
    return np.asarray(_log_gamma(first) + _log_gamma(second) - _log_gamma(np.add(first, second)))


def _log_marginal(share: Share) -> Floats:
    first, second = JEFFREYS
    failures = np.subtract(share.trials, share.successes)
    return _log_beta(np.add(share.successes, first), failures + second) - _log_beta(first, second)


def _log_likelihood(share: Share, rate: Floats) -> Floats:
    failures = np.subtract(share.trials, share.successes)
    return np.where(np.greater(share.successes, 0), share.successes * np.log(np.maximum(rate, TINY)), 0.0) + np.where(
        failures > 0, failures * np.log(np.maximum(1 - rate, TINY)), 0.0
    )


def _likeliest_on_line(treatment: Share, control: Share, slope: float, intercept: Floats) -> Floats:
    # the likelihood is concave along the line: halve where its slope changes sign
    low = np.clip(-intercept / slope, 0.0, 1.0) + np.zeros_like(treatment.rate)
    high = np.clip((1 - intercept) / slope, 0.0, 1.0) + np.zeros_like(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rises = slope * _score(treatment, slope * middle + intercept) + _score(control, middle) > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    return (low + high) / 2


def _score(share: Share, rate: Floats) -> Floats:
    failures = np.subtract(share.trials, share.successes)
    return share.successes / np.maximum(rate, 1e-15) - failures / np.maximum(1 - rate, 1e-15)
