"""The comparisons that a step is judged by: a measure of both arms against one limit."""

from dataclasses import dataclass
from enum import Enum

from flagrank.delivery.analysis.counts import ArmCounts
from flagrank.delivery.analysis.eprocess import Evidence, Loss
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import MEASURES, Harm, Limit, Measure


class Bound(Enum):
    """What a treated value is held against: control's, or a number whatever control does."""

    CONTROL = "control"
    CEILING = "ceiling"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure against one limit on its excess, the treated value - slope * the control value, or on its loss.

    `treatment` is None without data. `control` is None against a ceiling or a floor, and where control has no such
    value. `span` holds every excess there can be. Against a floor the excess is the treated value with its sign turned,
    and so is the limit. `causes` are the measure's in the treated arm.
    """

    measure: Measure
    evidence: Evidence
    treatment: float | None
    control: float | None
    slope: float
    limit: float
    bound: Bound
    span: tuple[float, float]
    causes: tuple[tuple[str, float], ...] = ()


def compare(treatment: ArmCounts, control: ArmCounts | None, limits: Limits) -> list[Comparison]:
    """Every comparison that the limits ask for; without control, those with ceilings and floors alone.

    A control that never asks for a rerank has no fallbacks and no timeouts, and is known to have none.
    """
    comparisons = []
    for measure in MEASURES:
        limit = limits[measure.metric]
        if control is not None and limit.absolute is not None:
            # where control showed no list, nobody knows what would have been clicked: no loss is known either
            has_value = measure.harm is Harm.LOSS or bool(measure.statistic.denominator.of(control))
            against = control if has_value else None
            comparisons.append(_comparison(measure, treatment, against, limit, limit.absolute, Bound.CONTROL))
        if limit.ceiling is not None:
            comparisons.append(_comparison(measure, treatment, None, limit, limit.ceiling, Bound.CEILING))
        if limit.floor is not None:
            comparisons.append(_comparison(measure, treatment, None, limit, -limit.floor, Bound.FLOOR))
    return comparisons


def _comparison(
    measure: Measure, treatment: ArmCounts, control: ArmCounts | None, limit: Limit, most: float, bound: Bound
) -> Comparison:
    statistic, is_loss = measure.statistic, measure.harm is Harm.LOSS
    slope = 1 - limit.relative if is_loss else 1 + limit.relative
    value, other = measure.observed(treatment), None if control is None else measure.observed(control)
    highest = statistic.highest or 10 * max(1.0, value or 0.0, most, slope * (other or 0.0))
    evidence = statistic.evidence(treatment, control, slope)
    return Comparison(
        measure=measure,
        evidence=Loss(evidence) if is_loss else evidence,
        treatment=value,
        control=other,
        slope=slope,
        limit=most,
        bound=bound,
        span=_span(control, bound, slope, highest),
        causes=measure.causes_of(treatment),
    )


def _span(control: ArmCounts | None, bound: Bound, slope: float, highest: float) -> tuple[float, float]:
    if bound is Bound.FLOOR:
        return (-highest, 0.0)
    return (0.0 if control is None else -max(1.0, slope) * highest, highest)
