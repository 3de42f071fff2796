"""Both arms side by side, for people and for programs."""

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flagrank.delivery.analysis.counts import Arms
from flagrank.delivery.analysis.measures import Metric
from flagrank.delivery.analysis.verdict import MetricResult, Outcome, Verdict

COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}


def arms_shown(arms: Arms, verdict: Verdict, title: str) -> RenderableType:
    """A row for each count and each judged figure, a column for each arm, and what is not well in words.

    It fits a terminal of 80 columns.
    """
    if not (arms.treatment.requests or arms.control.requests):
        return Text(f"{title}\nno data yet")
    table = Table("", "treatment", "control", "excess", "tolerated", "verdict", box=None, pad_edge=False)
    for name in ("requests", "users", "stale"):
        table.add_row(name, *(str(getattr(arm, name)) for arm in (arms.treatment, arms.control)), "", "", "")
    # without a treated request nothing but that can be said of any figure
    told = [entry for entry in verdict.findings if arms.treatment.requests or entry.figure is Metric.REQUESTS]
    for finding in told:
        if finding.figure is not Metric.REQUESTS:
            table.add_row(*_cells(finding), Text(finding.outcome, COLOURS[finding.outcome]))
    reasons = [Text(finding.sentence, COLOURS[finding.outcome]) for finding in told if finding.outcome != "pass"]
    return Group(Text(title), table, *reasons)


def arms_document(arms: Arms, verdict: Verdict) -> dict[str, Any]:
    """The same for programs: counts, the verdict and every finding."""
    return {
        "treatment": asdict(arms.treatment),
        "control": asdict(arms.control),
        "verdict": verdict.outcome,
        "findings": [asdict(finding) for finding in verdict.findings],
    }


def _cells(finding: MetricResult) -> tuple[str, str, str, str, str]:
    shown = [_shown(finding.figure, value) for value in (finding.treatment, finding.control, finding.limit)]
    treatment, control, limit = shown
    tolerated = f"{limit} in all" if finding.is_ceiling else limit
    return finding.figure.said, treatment, control, finding.excess, tolerated


def _shown(figure: Metric, value: float | None) -> str:
    if value is None:
        return ""
    if figure is Metric.P95:
        return f"{value:.0f} ms"
    if figure is Metric.COST:
        return f"{round(value / 1000, 3):g} USD"
    return f"{100 * value:.1f} %"
