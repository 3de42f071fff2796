"""`flagrank rollout ramp`, `watch` and the figures of `status`: arguments, output, and which figures they read."""

import io
import json
import signal
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from rich.console import Console

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.cli.arms import arms_shown
from flagrank.cli.interrupts import Interrupts
from flagrank.cli.target import Target
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.verdict import judge
from flagrank.delivery.change_record import ChangeRecord
from flagrank.errors import CloudError
from flagrank.flags.document import FLAG_POLL_S, FlagDocument
from tests.ramps import HEALTHY, Traffic, arm_counts
from tests.unit.cli.test_rollout import flagrank, use

AGE_S = 60.0


@dataclass
class Figures:
    """Figures that remember which times they were read for."""

    arms: Arms = field(default_factory=Arms)
    asked: list[tuple[float, float]] = field(default_factory=list)

    def read(self, since_s: float, until_s: float) -> Arms:
        self.asked.append((since_s, until_s))
        return self.arms


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Figures:
    made = Figures()
    monkeypatch.setattr(Target, "figures", lambda self: made)
    return made


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> InMemoryControl:
    """A flag at 5 percent for a minute, and before that at 50."""
    clock = ManualClock(time.time() - AGE_S)
    made = InMemoryControl(clock, FlagDocument(enabled=True, percent=50))
    made.deploy(FlagDocument(enabled=True, percent=5), ChangeRecord("me", "percent 5"))
    use(monkeypatch, made)
    return made


def arms(traffic: Traffic = HEALTHY, treated: int = 6000) -> Arms:
    """Both arms of a step at 25 percent."""
    rng = np.random.default_rng(5)
    return Arms(arm_counts(rng, traffic, treated), arm_counts(rng, Traffic(rerank=False), 3 * treated))


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_a_percentage_with_three_decimals_is_bad_usage(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dry_run: list[str]
) -> None:
    """The error says what is wrong with it, as a plan as well."""
    assert flagrank(monkeypatch, "ramp", "1.234,5", *dry_run) == 2
    assert "two decimals" in capsys.readouterr().err
    assert len(control.history(9)) == 2


@pytest.mark.parametrize("option", ["--every=0s", "--bake=10", "--max-extra-errors=101", "--max-lost-clicks=-1"])
def test_an_option_that_makes_no_sense_is_named(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """Bad usage, and nothing is deployed."""
    assert flagrank(monkeypatch, "ramp", "25,50", option) == 2
    assert option.partition("=")[0] in capsys.readouterr().err
    assert len(control.history(9)) == 2


def test_a_plan_shows_everything_that_the_ramp_would_use(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps, pace, patience and limits, for people and for programs."""
    plan = ("ramp", "5,25", "--dry-run", "--every", "30s", "--patience", "1h", "--max-lost-clicks", "2")
    assert flagrank(monkeypatch, *plan) == 0
    words = capsys.readouterr().out
    assert all(part in words for part in ("5 %, 25 %", "600 s", "30 s", "3600 s", "errors 1 % against control"))
    assert "clicks 2 % lost" in words
    assert flagrank(monkeypatch, *plan, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["plan"], told["bake_s"], told["every_s"], told["patience_s"]) == (["5 %", "25 %"], 600, 30, 3600)
    assert told["limits"]["clicks"]["absolute"] == 0.02


def test_a_plan_says_what_each_step_needs_and_names_those_that_take_too_long(
    control: InMemoryControl, figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests, time, and what to do; a ramp says the same before it begins."""
    figures.arms = Arms(control=arm_counts(np.random.default_rng(5), Traffic(rerank=False), 7200))
    assert flagrank(monkeypatch, "ramp", "5,50", "--dry-run") == 0
    words = capsys.readouterr().out
    assert "2 requests/s in the last 60 min" in words
    assert "5 % cannot be told in time: --patience 7h; or a step of 15 % in its place; or a looser --max-" in words
    assert "50 % cannot be told" not in words
    assert flagrank(monkeypatch, "ramp", "5,50", "--dry-run", "--json") == 0
    late, early = json.loads(capsys.readouterr().out)["forecast"]["steps"]
    assert (late["step"], late["is_in_time"], len(late["ways"])) == ("5 %", False, 3)
    assert (early["step"], early["is_in_time"], early["ways"]) == ("50 %", True, [])


def test_no_word_is_cut_at_a_terminal_s_edge(control: InMemoryControl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long sentences break between words."""
    written = io.StringIO()
    terminal = Console(file=written, width=80, force_terminal=True, color_system=None, soft_wrap=True)
    monkeypatch.setattr("flagrank.cli.change.stdout", terminal)
    assert flagrank(monkeypatch, "ramp", "5,50", "--dry-run") == 0
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "observed every 60 s" in " ".join(" ".join(lines).split())


def test_a_plan_without_figures_says_so(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest of the plan is shown all the same."""

    def no_answer(self: Target) -> None:
        raise CloudError("no answer")

    monkeypatch.setattr(Target, "figures", no_answer)
    assert flagrank(monkeypatch, "ramp", "5,50", "--dry-run") == 0
    assert "how long the steps take is not known: no answer" in capsys.readouterr().out


def test_a_ramp_that_is_held_says_the_next_command(
    control: InMemoryControl, figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command goes on, with more patience if that is known to help."""
    control.deploy(FlagDocument(enabled=True, percent=25), ChangeRecord("me", "percent 25"))
    figures.arms = arms(treated=300)
    monkeypatch.setattr("flagrank.cli.interrupts.time.sleep", lambda seconds: None)
    held = ("ramp", "25,50", "--bake=0s", "--patience", "0s", "--reason", "my model")
    assert flagrank(monkeypatch, *held) == 5
    printed = capsys.readouterr()
    assert "at least" in printed.err
    following = printed.out.splitlines()[-1]
    assert following.startswith("next: `flagrank rollout ramp 25,50 --bake=0s --reason 'my model' --patience ")
    assert "`flagrank rollout off` gives it up" in following


def test_a_plan_is_refused_where_the_ramp_would_be(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While another deployment is in flight."""
    control.become("DEPLOYING")
    assert flagrank(monkeypatch, "ramp", "25,50", "--dry-run") == 3
    assert "DEPLOYING" in capsys.readouterr().err


def test_status_counts_from_the_flip_on(
    control: InMemoryControl, figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before every environment had the document in force, another percentage was treated."""
    assert flagrank(monkeypatch, "status", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    ((since_s, until_s),) = figures.asked
    assert since_s == pytest.approx(control.history(1)[0].started_at_s + FLAG_POLL_S, abs=0.01)
    assert told["figures"]["window_s"] == pytest.approx(until_s - since_s)


def test_status_right_after_a_flip_has_no_data_yet(
    control: InMemoryControl, figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No figures are read for no time, and one line says so."""
    now_s = control.history(1)[0].started_at_s + FLAG_POLL_S - 1
    monkeypatch.setattr("flagrank.cli.rollout.time.time", lambda: now_s)
    assert flagrank(monkeypatch, "status") == 0
    words = capsys.readouterr().out
    assert (figures.asked, words.count("no data yet")) == ([], 1)
    assert "nobody can tell" not in words


def test_a_flag_that_is_off_is_not_blamed_for_its_split(
    control: InMemoryControl, figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is treated, whatever percentage the document keeps."""
    control.deploy(FlagDocument(enabled=False, percent=25), ChangeRecord("me", "off"))
    figures.arms = Arms(ArmCounts(), ArmCounts(requests=900, users=300))
    for command in ("watch", "status"):
        assert flagrank(monkeypatch, command, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        findings = told.get("figures", told)["findings"]
        assert "split" not in {finding["figure"] for finding in findings}


def test_watch_begins_a_quarter_of_an_hour_ago(
    control: InMemoryControl, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag that has been in force for days is judged by what happens now."""
    now_s = time.time() + 3 * 86_400
    monkeypatch.setattr("flagrank.cli.ramp.time.time", lambda: now_s)
    assert flagrank(monkeypatch, "watch", "--json") == 0
    assert figures.asked == [(now_s - 900, now_s)]


def test_ctrl_c_says_where_the_flag_is_left(
    control: InMemoryControl, figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If it cannot be read, the output says so."""

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flagrank.cli.interrupts.time.sleep", interrupt)
    assert flagrank(monkeypatch, "ramp", "5,25") == 130
    assert "the flag stays as it is, 5 % (v2)" in capsys.readouterr().out

    def gone(seconds: float) -> None:
        def no_answer() -> None:
            raise CloudError("no answer")

        monkeypatch.setattr(control, "deployed", no_answer)
        raise KeyboardInterrupt

    monkeypatch.setattr("flagrank.cli.interrupts.time.sleep", gone)
    assert flagrank(monkeypatch, "ramp", "5,25") == 130
    assert "cannot be read now: no answer" in capsys.readouterr().out


def test_ctrl_c_takes_effect_when_the_ramp_waits() -> None:
    """What it was doing, such as switching off, is done first."""
    interrupts, is_done = Interrupts(), False
    # a shell that starts the tests in the background has SIGINT ignored
    before = signal.getsignal(signal.SIGINT)
    with interrupts.handled():
        signal.raise_signal(signal.SIGINT)
        is_done = True
        with pytest.raises(KeyboardInterrupt):
            interrupts.wait(60)
    assert is_done
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_takes_effect_during_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ramp does not wait to the end."""
    monkeypatch.setattr("flagrank.cli.interrupts.time.sleep", lambda seconds: signal.raise_signal(signal.SIGINT))
    interrupts = Interrupts()
    with interrupts.handled(), pytest.raises(KeyboardInterrupt):
        interrupts.wait(60)


def test_a_second_ctrl_c_takes_effect_at_once() -> None:
    """The operator does not want to wait for a slow call."""
    with Interrupts().handled():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "shown",
    [arms(), arms(Traffic(fallbacks=0.4, timeouts=0.3, cost_micro_usd=90_000.0)), arms(treated=300)],
    ids=["healthy", "failing", "early"],
)
def test_the_table_fits_a_terminal(shown: Arms) -> None:
    """Each metric is one line of at most 80 columns, and only what is not well is told in words."""
    verdict = judge(shown.treatment, shown.control, Limits(), 25)
    written = io.StringIO()
    Console(file=written, width=80).print(arms_shown(shown, verdict, "25 %"))
    lines = written.getvalue().splitlines()
    rows = [line for line in lines if line.rstrip().endswith(("pass", "fail", "hold"))]
    judged = [result for result in verdict.results if result.metric != "requests"]
    assert len(rows) == len(judged)
    assert max(map(len, lines)) <= 80
    told = " ".join(" ".join(lines).split())
    assert all((result.sentence in told) == (result.outcome != "pass") for result in verdict.results)
