"""Both arms side by side, for people and for programs."""

from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from flagrank.canary import Figure, Outcome, Verdict
from flagrank.figures import Arms

COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.HOLD: "yellow"}


def arms_table(arms: Arms, verdict: Verdict, title: str) -> Table:
    """A row for each count and each judged figure, a column for each arm, and the verdict in words."""
    table = Table("", "treatment", "control", "verdict", "", title=title, title_justify="left", box=None)
    for name in ("requests", "users", "stale"):
        counts = (str(getattr(arm, name)) for arm in (arms.treatment, arms.control))
        table.add_row(name, *counts, "", "")
    for finding in verdict.findings:
        told = finding.sentence.partition(": ")[2]
        shown = (_shown(finding.figure, value) for value in (finding.treatment, finding.control))
        colour = COLOURS[finding.outcome]
        table.add_row(finding.figure, *shown, f"[{colour}]{finding.outcome}[/]", escape(told))
    return table


def arms_document(arms: Arms, verdict: Verdict) -> dict[str, Any]:
    """The same for programs: counts, the verdict and every finding."""
    return {
        "treatment": asdict(arms.treatment),
        "control": asdict(arms.control),
        "verdict": verdict.outcome,
        "findings": [asdict(finding) for finding in verdict.findings],
    }


def _shown(figure: Figure, value: float | None) -> str:
    if value is None:
        return ""
    if figure is Figure.P95:
        return f"{value:.0f} ms"
    if figure is Figure.COST:
        return f"{value / 1000:.3f} USD per 1,000"
    return f"{100 * value:.1f} %"
