"""What a ramp shows while it runs, on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from flagrank.cli.ramp_view import RampView, observation_line
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.formats import duration
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.verdict import judge
from flagrank.delivery.observation import Observation
from flagrank.flags.document import FlagDocument
from tests.unit.cli.test_arms import failing

STEP = FlagDocument(enabled=True, percent=25)
EARLY = Arms(ArmCounts(requests=30, users=10, attempted=30), ArmCounts(requests=90, users=30))


def observation(arms: Arms, counted_s: float = 60.0) -> Observation:
    verdict = judge(arms.treatment, arms.control, Limits(), STEP.percent)
    return Observation(STEP, 75.0, arms, verdict, None, counted_s)


def view(*, terminal: bool = False, quiet: bool = False) -> tuple[RampView, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, width=80, height=40, force_terminal=terminal, highlight=False)
    ladder = ["1 % in shadow", "1 %", "25 %", "100 %"]
    return RampView(console, ladder, lambda metric: f"look at {metric}", lambda: "12:34:56", quiet), written


def test_a_terminal_keeps_one_table_below_the_events() -> None:
    """The ladder with the step in force, the table, and a line for each event above it."""
    shown, written = view(terminal=True)
    with shown.shown():
        shown.tell("25 %: v7 is deployed")
        shown.tell(observation(EARLY))
    text = written.getvalue()
    assert "12:34:56  25 %: v7 is deployed" in text
    assert "1 % in shadow > 1 % > [25 %] > 100 %" in text
    assert "fallbacks" in text


def test_a_log_gets_a_line_an_observation_and_the_table_with_a_verdict() -> None:
    """Nothing is wider than 80 columns."""
    shown, written = view()
    with shown.shown():
        for arms in (EARLY, EARLY, failing()):
            shown.tell(observation(arms))
    lines = written.getvalue().splitlines()
    assert sum(line.startswith("12:34:56  ") for line in lines) == 3
    assert sum("[25 %]" in line for line in lines) == 1
    assert "look further: look at fallbacks" in lines
    assert max(map(len, lines)) <= 80


def test_a_program_s_log_has_lines_alone() -> None:
    """With --json the tables are in the document."""
    shown, written = view(quiet=True)
    with shown.shown():
        shown.tell(observation(failing()))
    assert len(written.getvalue().splitlines()) == 1


def test_a_line_says_what_a_hold_waits_for() -> None:
    """About how many requests, and how long that takes at the rate so far; where nobody can tell, it says so."""
    steady = Arms(
        ArmCounts(requests=300, users=100, attempted=300, fallbacks=7),
        ArmCounts(requests=900, users=300),
    )
    seen = observation(steady, counted_s=60.0)
    more = seen.verdict.more_requests
    assert more is not None
    assert seen.more_s == pytest.approx(more * 60 / 300)
    assert f"about {more} more, {duration(more * 60 / 300)}" in observation_line(seen)
    unasked = Arms(ArmCounts(requests=300, users=100), ArmCounts(requests=900, users=300))
    assert "nobody can tell how long" in observation_line(observation(unasked))


@pytest.mark.parametrize(("seconds", "words"), [(50, "50 s"), (720, "12 min"), (12_600, "3.5 h"), (200_000, "2 days")])
def test_a_time_is_told_in_the_unit_that_people_use(seconds: float, words: str) -> None:
    """From seconds to days."""
    assert duration(seconds) == words
