"""What a ramp shows while it runs: one line for each event, and the arms of the step in force."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from flagrank.cli.arms import ArmsView
from flagrank.delivery.analysis.formats import duration
from flagrank.delivery.analysis.measures import Metric
from flagrank.delivery.analysis.verdict import Outcome
from flagrank.delivery.observation import Observation
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure_in_words

# measures that a line names
NAMED = 3


@dataclass(slots=True)
class RampView:
    """Draws a ramp's events on a console: live on a terminal, and as lines elsewhere.

    On a terminal the newest observation is a table that stays in place below the events. Elsewhere each observation is
    a line, and the table follows when a verdict is there. `ladder` names the steps, `look_further` gives the
    command that shows more about a metric, and `clock` the time of day of an event.
    """

    console: Console
    ladder: Sequence[str]
    look_further: Callable[[Metric], str]
    clock: Callable[[], str] = lambda: time.strftime("%H:%M:%S")
    is_quiet: bool = False
    _live: Live | None = None
    _seen: tuple[FlagDocument, Outcome] | None = field(default=None, init=False)

    def shown(self) -> AbstractContextManager[Any]:
        """The block during which events are drawn."""
        if not self.console.is_terminal or self.is_quiet:
            return nullcontext()
        self._live = Live(console=self.console, auto_refresh=False)
        return self._live

    def tell(self, event: Observation | str) -> None:
        """Draws an event of the ramp."""
        if isinstance(event, str):
            self._line(event)
            return
        key = (event.document, event.verdict.outcome)
        if self._live is not None:
            self._live.update(self._table(event).shown(self.console), refresh=True)
        else:
            self._line(observation_line(event))
            is_told = event.verdict.outcome is not Outcome.INCONCLUSIVE and key != self._seen
            if is_told and not self.is_quiet:
                self.console.print(self._table(event).shown())
        self._seen = key

    def _line(self, text: str) -> None:
        self.console.print(Text(f"{self.clock()}  {text}"))

    def _table(self, event: Observation) -> ArmsView:
        ladder = ladder_line(self.ladder, exposure_in_words(event.document))
        return arms_view(event, self.look_further, f"{ladder}\n")


def ladder_line(steps: Sequence[str], current: str) -> str:
    """The ramp's steps with the one in force in brackets: `1 % > [5 %] > 25 %`."""
    return " > ".join(f"[{step}]" if step == current else step for step in steps)


def arms_view(seen: Observation, look_further: Callable[[Metric], str], above: str = "") -> ArmsView:
    """An observation as a table under its line, and under what is to stand `above` that."""
    failed = next((entry.metric for entry in seen.verdict.reasons if entry.outcome is Outcome.FAIL), None)
    further = look_further(failed) if failed else ""
    return ArmsView(seen.arms, seen.verdict, above + observation_line(seen), further)


def observation_line(seen: Observation) -> str:
    """An observation in one line: the step, how long it has been in force, the verdict, and what it waits for."""
    verdict, requests = seen.verdict, seen.arms.treatment.requests
    step = f"{exposure_in_words(seen.document)}, {seen.in_force_s:.0f} s, {requests} treated"
    if verdict.outcome is Outcome.PASS:
        return f"{step}: pass, but {seen.blocked}" if seen.blocked else f"{step}: pass, all within limits"
    found = list(dict.fromkeys(result.metric for result in verdict.reasons))
    others = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    names = ", ".join(found[:NAMED]) + others
    if verdict.outcome is Outcome.FAIL:
        return f"{step}: fail, {names}"
    return f"{step}: hold, {names}; {waiting(seen)}"


def waiting(seen: Observation) -> str:
    """For how many requests and how long a hold waits."""
    more, more_s = seen.verdict.more_requests, seen.more_s
    if more is None:
        return "nobody can tell how long"
    return f"about {more} more" + (f", {duration(more_s)}" if more_s is not None else "")
