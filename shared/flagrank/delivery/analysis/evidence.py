"""What a measure is of an arm, and how the counts of two arms become evidence about its excess."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from flagrank.delivery.analysis.eprocess import Evidence
from flagrank.delivery.analysis.means import MeanExcess, Moments
from flagrank.delivery.analysis.proportions import Proportion, ProportionExcess
from flagrank.delivery.analysis.quantiles import QuantileExcess
from flagrank.delivery.analysis.quantities import Amount, Count, CountsByName, Ladder, Quantity


class Statistic(Protocol):
    """A numerator over a denominator: a share, a quantile or a mean."""

    @property
    def numerator(self) -> Quantity:
        """What is added up."""

    @property
    def denominator(self) -> Count:
        """What it is added up over."""

    @property
    def highest(self) -> float | None:
        """The highest value that there is; None where there is no bound."""

    def value(self, arm: CountsByName) -> float:
        """The observed value of one arm at one look."""

    def evidence(self, treatment: CountsByName, control: CountsByName | None, slope: float) -> Evidence:
        """The evidence about treatment - slope * control; without control, about treatment alone."""


@dataclass(frozen=True, slots=True)
class ShareOf:
    """The share of `denominator` that is `numerator`, 0..1."""

    numerator: Count
    denominator: Count
    highest: float | None = 1.0

    def value(self, arm: CountsByName) -> float:
        """See Statistic."""
        return float(self._proportion(arm).rate)

    def evidence(self, treatment: CountsByName, control: CountsByName | None, slope: float) -> ProportionExcess:
        """See Statistic."""
        theirs = None if control is None else self._proportion(control)
        return ProportionExcess(self._proportion(treatment), theirs, slope)

    def _proportion(self, arm: CountsByName) -> Proportion:
        trials = self.denominator.of(arm)
        # the two may be published at different times, as clicks are
        return Proportion(np.minimum(self.numerator.of(arm), trials), trials)


@dataclass(frozen=True, slots=True)
class QuantileOf:
    """The quantile above which the share `tail` of `denominator` lies, known to a rung of the ladder."""

    numerator: Ladder
    denominator: Count
    tail: float

    @property
    def highest(self) -> float:
        """See Statistic."""
        return float(self.numerator.rungs[-1])

    def value(self, arm: CountsByName) -> float:
        """The rung that the observed quantile does not exceed; the last one where it exceeds all."""
        rungs = self.numerator.rungs
        within = np.append(np.flatnonzero(self._proportion(arm).rate <= self.tail), len(rungs) - 1)
        return float(rungs[within[0]])

    def evidence(self, treatment: CountsByName, control: CountsByName | None, slope: float) -> QuantileExcess:
        """See Statistic."""
        ladder = np.array(self.numerator.rungs, np.float64)
        theirs = None if control is None else self._proportion(control)
        return QuantileExcess(ladder, self.tail, self._proportion(treatment), theirs, slope)

    def _proportion(self, arm: CountsByName) -> Proportion:
        trials = np.asarray(self.denominator.of(arm), np.float64)[..., None]
        return Proportion(np.minimum(self.numerator.of(arm), trials), trials)


@dataclass(frozen=True, slots=True)
class MeanOf:
    """The mean amount of one of `denominator`."""

    numerator: Amount
    denominator: Count
    highest: float | None = None

    def value(self, arm: CountsByName) -> float:
        """See Statistic."""
        return float(self._moments(arm).mean)

    def evidence(self, treatment: CountsByName, control: CountsByName | None, slope: float) -> MeanExcess:
        """See Statistic."""
        return MeanExcess(self._moments(treatment), None if control is None else self._moments(control), slope)

    def _moments(self, arm: CountsByName) -> Moments:
        total, squares = (count.of(arm) for count in self.numerator.counts)
        return Moments(self.denominator.of(arm), total, squares)
