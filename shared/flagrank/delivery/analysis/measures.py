"""Which figures a rollout is judged by: each as evidence on an excess, with its limit and how a person reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from flagrank.delivery.analysis.counts import LATENCY_LADDER_MS, ArmFigures
from flagrank.delivery.analysis.eprocess import Evidence, MeanExcess, Moments, Share, ShareExcess
from flagrank.delivery.analysis.limits import Limit, Limits
from flagrank.delivery.analysis.quantiles import QuantileExcess

LADDER = np.array(LATENCY_LADDER_MS, np.float64)
P95_TAIL = 0.05


class Metric(StrEnum):
    """What a finding is about."""

    REQUESTS = "requests"
    SPLIT = "split"
    ERRORS = "errors"
    FALLBACKS = "fallbacks"
    TIMEOUTS = "timeouts"
    MALFORMED = "malformed"
    P95 = "p95"
    COST = "cost"
    CLICKS = "clicks"

    @property
    def said(self) -> str:
        """As people read it."""
        return "cost per 1,000" if self is Metric.COST else self.value


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure against one limit on its excess, the treated value - slope * the control value; of clicks, the loss.

    `control` is None against a ceiling, and where control has no such figure. `span` holds every excess there can be.
    """

    figure: Metric
    evidence: Evidence
    treatment: float
    control: float | None
    slope: float
    limit: float
    is_ceiling: bool
    span: tuple[float, float]
    show: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class _Measure[Sample]:
    figure: Metric
    limit: Limit
    take: Callable[[ArmFigures], Sample]
    has_any: Callable[[ArmFigures], int]
    excess: Callable[[Sample, Sample | None, float], Evidence]
    value: Callable[[Sample], float]
    show: Callable[[float], str]
    top: float | None = 1.0
    is_gain: bool = False


def compare(treatment: ArmFigures, control: ArmFigures | None, limits: Limits) -> list[Comparison]:
    """Every comparison that the limits ask for; without control those with ceilings alone.

    A control that never asks for a rerank has no fallbacks and no timeouts, and is known to have none.
    """
    found = []
    for measure in _measures(limits):
        if control is not None and measure.limit.absolute is not None:
            # a control that nobody clicked in is not one that lost no click
            other = control if measure.is_gain or measure.has_any(control) else None
            found.append(_comparison(measure, treatment, other, measure.limit.absolute, is_ceiling=False))
        if measure.limit.ceiling is not None:
            found.append(_comparison(measure, treatment, None, measure.limit.ceiling, is_ceiling=True))
    return found


def _comparison(
    measure: _Measure[Any], treatment: ArmFigures, control: ArmFigures | None, limit: float, *, is_ceiling: bool
) -> Comparison:
    slope = 1 - measure.limit.relative if measure.is_gain else 1 + measure.limit.relative
    mine, theirs = measure.take(treatment), control and measure.take(control)
    value, other = measure.value(mine), None if theirs is None else measure.value(theirs)
    top = measure.top or 10 * max(1.0, value, limit, slope * (other or 0.0))
    return Comparison(
        figure=measure.figure,
        evidence=measure.excess(mine, theirs, slope),
        treatment=value,
        control=other,
        slope=slope,
        limit=limit,
        is_ceiling=is_ceiling,
        span=(0.0 if control is None else -max(1.0, slope) * top, top),
        show=measure.show,
    )


def _measures(limits: Limits) -> tuple[_Measure[Any], ...]:
    return (
        _share(Metric.ERRORS, limits.errors, lambda arm: arm.errors, _requests),
        _share(Metric.FALLBACKS, limits.fallbacks, lambda arm: arm.fallbacks, lambda arm: arm.attempted),
        _share(Metric.TIMEOUTS, limits.timeouts, lambda arm: arm.timeouts, lambda arm: arm.attempted),
        _share(Metric.MALFORMED, limits.malformed, lambda arm: arm.malformed, lambda arm: arm.attempted),
        _Measure(
            Metric.P95,
            limits.p95_ms,
            _slower,
            _requests,
            _quantile_excess,
            _p95_ms,
            lambda ms: f"{ms:.0f} ms",
            LADDER[-1],
        ),
        _Measure(
            Metric.COST,
            limits.cost_micro_usd,
            lambda arm: Moments(arm.requests, arm.cost_micro_usd, arm.cost_micro_usd_squared),
            _requests,
            MeanExcess,
            lambda sample: float(sample.mean),
            lambda cost: f"{round(cost / 1000, 3):g} USD",
            top=None,
        ),
        _Measure(
            Metric.CLICKS,
            limits.clicks,
            # what is not clicked is what may rise, so that clicks are judged as the other shares are
            lambda arm: Share(arm.shown - min(arm.clicked, arm.shown), arm.shown),
            lambda arm: arm.shown,
            lambda mine, theirs, slope: ShareExcess(mine, theirs, slope, offset=1 - slope),
            lambda sample: float((sample.trials - sample.successes) / max(sample.trials, 1)),
            _percent,
            is_gain=True,
        ),
    )


def _share(
    figure: Metric, limit: Limit, part: Callable[[ArmFigures], int], whole: Callable[[ArmFigures], int]
) -> _Measure[Share]:
    return _Measure(
        figure,
        limit,
        lambda arm: Share(min(part(arm), whole(arm)), whole(arm)),
        whole,
        ShareExcess,
        lambda sample: float(sample.rate),
        _percent,
    )


def _requests(arm: ArmFigures) -> int:
    return arm.requests


def _slower(arm: ArmFigures) -> Share:
    return Share(np.minimum(np.array(arm.slower, np.float64), arm.requests), np.full(len(LADDER), float(arm.requests)))


def _quantile_excess(mine: Share, theirs: Share | None, slope: float) -> QuantileExcess:
    return QuantileExcess(LADDER, P95_TAIL, mine, theirs, slope)


def _p95_ms(sample: Share) -> float:
    # the rung that the observed p95 does not exceed; the last one where it exceeds all
    within = np.append(np.flatnonzero(sample.rate <= P95_TAIL), len(LADDER) - 1)
    return float(LADDER[within[0]])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
