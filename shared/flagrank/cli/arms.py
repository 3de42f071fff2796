"""Both arms side by side, for people and for programs."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flagrank.delivery.analysis.counts import Arms
from flagrank.delivery.analysis.measures import REQUESTS, STALE, USERS, Metric
from flagrank.delivery.analysis.verdict import MetricResult, Outcome, Verdict

COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}


def arms_shown(arms: Arms, verdict: Verdict, title: str) -> RenderableType:
    """A row for each count and each judged metric, a column for each arm, and what is not well in words.

    It fits a terminal of 80 columns.
    """
    if not (arms.treatment.requests or arms.control.requests):
        return Text(f"{title}\nno data yet")
    table = Table("", "treatment", "control", "excess", "tolerated", "verdict", box=None, pad_edge=False)
    for count in (REQUESTS, USERS, STALE):
        table.add_row(count.name, *(str(arm[count.name]) for arm in (arms.treatment, arms.control)), "", "", "")
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


def _cells(result: MetricResult) -> tuple[str, str, str, str, str]:
    amounts = (result.treatment, result.control, result.limit)
    treatment, control, limit = ("" if amount is None else result.format.rounded(amount) for amount in amounts)
    tolerated = f"{limit} in all" if result.is_ceiling else limit
    return result.label, treatment, control, result.excess, tolerated
