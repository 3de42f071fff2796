"""The comparisons that a step is judged by: a measure of both arms against one limit."""

from dataclasses import dataclass

from flagrank.delivery.analysis.counts import ArmCounts
from flagrank.delivery.analysis.eprocess import Evidence, Loss
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import MEASURES, Harm, Limit, Measure


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure against one limit on its excess, the treated value - slope * the control value, or on its loss.

    `control` is None against a ceiling, and where control has no such value. `span` holds every excess there can be.
    """

    measure: Measure
    evidence: Evidence
    treatment: float
    control: float | None
    slope: float
    limit: float
    is_ceiling: bool
    span: tuple[float, float]


def compare(treatment: ArmCounts, control: ArmCounts | None, limits: Limits) -> list[Comparison]:
    """Every comparison that the limits ask for; without control, those with ceilings alone.

    A control that never asks for a rerank has no fallbacks and no timeouts, and is known to have none.
    """
    comparisons = []
    for measure in MEASURES:
        limit = limits[measure.metric]
        if control is not None and limit.absolute is not None:
            # where control showed no list, nobody knows what would have been clicked: no loss is known either
            has_value = measure.harm is Harm.LOSS or bool(measure.statistic.denominator.of(control))
            against = control if has_value else None
            comparisons.append(_comparison(measure, treatment, against, limit, limit.absolute, is_ceiling=False))
        if limit.ceiling is not None:
            comparisons.append(_comparison(measure, treatment, None, limit, limit.ceiling, is_ceiling=True))
    return comparisons


def _comparison(
    measure: Measure, treatment: ArmCounts, control: ArmCounts | None, limit: Limit, bound: float, *, is_ceiling: bool
) -> Comparison:
    statistic, is_loss = measure.statistic, measure.harm is Harm.LOSS
    slope = 1 - limit.relative if is_loss else 1 + limit.relative
    value, other = statistic.value(treatment), None if control is None else statistic.value(control)
    highest = statistic.highest or 10 * max(1.0, value, bound, slope * (other or 0.0))
    evidence = statistic.evidence(treatment, control, slope)
    return Comparison(
        measure=measure,
        evidence=Loss(evidence) if is_loss else evidence,
        treatment=value,
        control=other,
        slope=slope,
        limit=bound,
        is_ceiling=is_ceiling,
        span=(0.0 if control is None else -max(1.0, slope) * highest, highest),
    )
