"""Both arms side by side, for people and for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from flagrank.cli.gauge import gauge
from flagrank.delivery.analysis.counts import Arms
from flagrank.delivery.analysis.measures import MEASURES, REQUESTS, STALE, USERS, Harm, Measure, Metric
from flagrank.delivery.analysis.verdict import MetricResult, Outcome, Verdict

COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}
NO_DATA = "-"
LOSSES = frozenset(measure.metric for measure in MEASURES if measure.harm is Harm.LOSS)


@dataclass(frozen=True, slots=True)
class ArmsView:
    """What is shown of an observation. `further` is the command that looks further, for what fails."""

    arms: Arms
    verdict: Verdict
    title: str
    further: str = ""

    def shown(self, terminal: Console | None = None) -> RenderableType:
        """A row for each count and each comparison, and what is not well in words; a row is at most 80 columns wide.

        On a `terminal` that is too low for all of it, what is well is left out.
        """
        if not (self.arms.treatment.requests or self.arms.control.requests):
            return Text(f"{self.title}\nno data yet")
        whole = self._view()
        if terminal is None or _height(whole, terminal) < terminal.height:
            return whole
        shorter = self._view(with_unjudged=False)
        return shorter if _height(shorter, terminal) < terminal.height else self._view(False, with_passed=False)

    def _view(self, with_unjudged: bool = True, *, with_passed: bool = True) -> RenderableType:
        table = Table("", "treatment", "control", "in truth", "| = limit", "limit", "", box=None, padding=(0, 1, 0, 0))
        table.pad_edge = False
        for row in self._rows(with_unjudged, with_passed):
            table.add_row(*row)
        lines = [Text(line, COLOURS[outcome]) for outcome, line in self._words(with_passed)]
        return Group(Text(self.title), table, *lines)

    def _rows(self, with_unjudged: bool, with_passed: bool) -> Iterator[Sequence[str | Text]]:
        arms = (self.arms.treatment, self.arms.control)
        for count in (REQUESTS, USERS, STALE) if with_unjudged else (REQUESTS, USERS):
            yield count.name, *(str(arm[count.name]) for arm in arms)
        judged = {result.metric for result in self.verdict.results}
        for measure in MEASURES if with_unjudged else ():
            if measure.metric not in judged and measure.observed(self.arms.treatment) is not None:
                yield measure.label, *(_observed(measure, measure.observed(arm)) for arm in arms)
        for result in self._results():
            if result.metric is not Metric.REQUESTS and (with_passed or result.outcome is not Outcome.PASS):
                yield *_cells(result), Text(result.outcome, COLOURS[result.outcome])

    def _words(self, with_passed: bool) -> Iterator[tuple[Outcome, str]]:
        passed = sum(result.outcome is Outcome.PASS for result in self._results())
        if not with_passed and passed:
            yield Outcome.PASS, f"within their limits: {passed} more"
        # where something failed, the table says enough of what is undecided
        with_holds = with_passed and self.verdict.outcome is Outcome.INCONCLUSIVE
        for result in self._results():
            if result.outcome is Outcome.FAIL or (with_holds and result.outcome is Outcome.INCONCLUSIVE):
                yield result.outcome, result.sentence
        for cause in self.verdict.causes:
            yield Outcome.FAIL, f"why: {cause}"
        if self.verdict.outcome is Outcome.FAIL and self.further:
            yield Outcome.FAIL, f"look further: {self.further}"

    def _results(self) -> list[MetricResult]:
        # without a treated request, only their number can be judged
        return [
            entry for entry in self.verdict.results if self.arms.treatment.requests or entry.metric is Metric.REQUESTS
        ]


def arms_shown(arms: Arms, verdict: Verdict, title: str) -> RenderableType:
    """All of it, whatever shows it."""
    return ArmsView(arms, verdict, title).shown()


def arms_document(arms: Arms, verdict: Verdict) -> dict[str, Any]:
    """The same for programs: counts, the verdict and every result."""
    return {
        **arms.document(),
        "verdict": verdict.outcome,
        "findings": [result.document() for result in verdict.results],
    }


def _height(shown: RenderableType, terminal: Console) -> int:
    return len(terminal.render_lines(shown))


def _observed(measure: Measure, value: float | None) -> str:
    return NO_DATA if value is None else measure.format.rounded(value)


def _cells(result: MetricResult) -> Sequence[str]:
    treatment, control = (
        NO_DATA if amount is None else result.format.rounded(amount) for amount in (result.treatment, result.control)
    )
    return result.label, treatment, control, _in_truth(result), gauge(result), _limit(result)


def _in_truth(result: MetricResult) -> str:
    if result.treatment is None or not result.excess.strip():
        return NO_DATA
    # one unit is enough for both ends
    words = result.excess.replace(f" {result.format.symbol} to ", " to ")
    return words.replace("at most ", "<= ").replace("at least ", ">= ").replace("an unknown amount", NO_DATA)


def _limit(result: MetricResult) -> str:
    if result.limit is None:
        return ""
    limit = result.format.exact(result.limit)
    if result.is_floor:
        return f">= {limit}"
    if result.is_ceiling or result.metric is Metric.SPLIT:
        return limit
    # what control may be exceeded by, or fallen short of
    return f"{'-' if result.metric in LOSSES else '+'}{limit}"
