"""Both arms side by side, for people and for programs."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flagrank.delivery.analysis.counts import Arms
from flagrank.delivery.analysis.measures import MEASURES, REQUESTS, STALE, USERS, Measure, Metric
from flagrank.delivery.analysis.verdict import MetricResult, Outcome, Verdict

COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}


def arms_shown(arms: Arms, verdict: Verdict, title: str) -> RenderableType:
    """A row for each count and each measure, a column for each arm, and what is not well in words.

    A measure without a limit has no verdict. It fits a terminal of 80 columns.
    """
    if not (arms.treatment.requests or arms.control.requests):
        return Text(f"{title}\nno data yet")
    table = Table("", "treatment", "control", "excess", "tolerated", "verdict", box=None, pad_edge=False)
    for count in (REQUESTS, USERS, STALE):
        table.add_row(count.name, *(str(arm[count.name]) for arm in (arms.treatment, arms.control)), "", "", "")
    judged = {result.metric for result in verdict.results}
    for measure in MEASURES:
        if measure.metric not in judged and measure.statistic.denominator.of(arms.treatment):
            table.add_row(measure.label, *_observed(measure, arms), "", "", "")
    # without a treated request, only their number can be judged
    results = [entry for entry in verdict.results if arms.treatment.requests or entry.metric is Metric.REQUESTS]
    for result in results:
        if result.metric is not Metric.REQUESTS:
            table.add_row(*_cells(result), Text(result.outcome, COLOURS[result.outcome]))
    reasons = [Text(result.sentence, COLOURS[result.outcome]) for result in results if result.outcome != "pass"]
    return Group(Text(title), table, *reasons)


def arms_document(arms: Arms, verdict: Verdict) -> dict[str, Any]:
    """The same for programs: counts, the verdict and every result."""
    return {
        **arms.document(),
        "verdict": verdict.outcome,
        "findings": [result.document() for result in verdict.results],
    }


def _observed(measure: Measure, arms: Arms) -> Iterator[str]:
    for arm in (arms.treatment, arms.control):
        statistic = measure.statistic
        yield measure.format.rounded(statistic.value(arm)) if statistic.denominator.of(arm) else ""


def _cells(result: MetricResult) -> tuple[str, str, str, str, str]:
    amounts = (result.treatment, result.control, result.limit)
    treatment, control, limit = ("" if amount is None else result.format.rounded(amount) for amount in amounts)
    tolerated = f"{limit} in all" if result.is_ceiling else f"at least {limit}" if result.is_floor else limit
    return result.label, treatment, control, result.excess, tolerated
