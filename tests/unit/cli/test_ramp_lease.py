"""Two operators: who is refused while a ramp is at work, and who may take over."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.control.in_memory_lease import InMemoryLeases
from flagrank.adapters.in_memory import ManualClock
from flagrank.cli.ramp_lease import RampLease, is_dead
from flagrank.cli.target import Target
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.lease import Lease, LeaseStore
from flagrank.errors import CloudError, RolloutRefused
from flagrank.flags.document import FlagDocument
from tests.unit.cli.test_rollout import flagrank, in_force, use

COLLEAGUE = Lease("theirs", "night-shift", "1,5,25", "another-host", 1, int(time.time()) + 3600)


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> InMemoryControl:
    made = InMemoryControl(ManualClock(time.time() - 3600), FlagDocument(enabled=True, percent=5))
    use(monkeypatch, made)
    return made


@pytest.fixture
def leases(control: InMemoryControl) -> LeaseStore:
    """The flag's leases; a colleague's ramp is at work."""
    store = Target().leases()
    store.take(COLLEAGUE)
    return store


@pytest.mark.parametrize(
    "command", [("percent", "50"), ("percent", "1"), ("on",), ("percent", "50", "--dry-run"), ("ramp", "25,50")]
)
def test_a_change_during_another_s_ramp_is_refused(
    control: InMemoryControl,
    leases: LeaseStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:
    """The refusal says whose ramp it is and how to go on; nothing is deployed."""
    assert flagrank(monkeypatch, *command) == 3
    told = capsys.readouterr().err
    assert "night-shift's ramp 1,5,25 is at work (process 1 on another-host" in told
    assert "--take-over" in told
    assert len(control.history(9)) == 1
    assert leases.current() == COLLEAGUE


def test_a_plan_of_a_second_ramp_is_refused_as_well(
    control: InMemoryControl, leases: LeaseStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --take-over it is shown."""
    assert flagrank(monkeypatch, "ramp", "25,50", "--dry-run") == 3
    assert flagrank(monkeypatch, "ramp", "25,50", "--dry-run", "--take-over") == 0


@pytest.mark.parametrize("command", ["off", "rollback"])
def test_exposure_can_always_be_lowered_at_once(
    control: InMemoryControl, leases: LeaseStore, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Off and rollback ask nobody."""
    control.deploy(FlagDocument(enabled=True, percent=25), ChangeRecord("night-shift", "ramp 25 %"))
    assert flagrank(monkeypatch, command) == 0
    assert in_force(control).percent * in_force(control).enabled < 25


def test_an_operator_takes_over(control: InMemoryControl, leases: LeaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change is made, and the ramp learns of it from the deployment."""
    assert flagrank(monkeypatch, "percent", "2", "--take-over") == 0
    assert in_force(control).percent == 2


def test_a_ramp_takes_over_and_gives_the_lease_up_at_its_end(
    control: InMemoryControl, leases: LeaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The colleague's ramp finds another holder when it renews."""
    renewed = []

    def interrupt(seconds: float) -> None:
        renewed.append(leases.take(COLLEAGUE))
        raise KeyboardInterrupt

    monkeypatch.setattr("flagrank.cli.interrupts.time.sleep", interrupt)
    assert flagrank(monkeypatch, "ramp", "5,25", "--take-over", "--actor", "me") == 130
    assert [(other.actor, other.pid) for other in renewed if other] == [("me", os.getpid())]
    assert leases.current() is None


def test_the_lease_of_a_killed_ramp_is_in_nobody_s_way(
    control: InMemoryControl, leases: LeaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On its own machine at once, since its process is gone; elsewhere when it expires."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    killed = replace(COLLEAGUE, host=socket.gethostname(), pid=gone.pid)
    assert is_dead(killed)
    assert not is_dead(replace(killed, pid=os.getpid()))
    assert not is_dead(replace(killed, host="another-host"))
    leases.take(killed, over=True)
    assert flagrank(monkeypatch, "percent", "6") == 0


def test_an_outage_of_the_leases_stops_nobody(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and AppConfig's own check still keeps two changes apart."""

    def no_answer(self: Target) -> LeaseStore:
        raise CloudError("no answer")

    monkeypatch.setattr(Target, "leases", no_answer)
    assert flagrank(monkeypatch, "percent", "6", "--json") == 0
    printed = capsys.readouterr()
    assert "whether somebody's ramp is at work is not known: no answer" in printed.err
    assert json.loads(printed.out)["changed"]


@dataclass
class Failing:
    """Leases that stop answering when told to."""

    leases: InMemoryLeases
    is_down: bool = False

    def take(self, lease: Lease, *, over: bool = False) -> Lease | None:
        if self.is_down:
            raise CloudError("no answer")
        return self.leases.take(lease, over=over)

    def current(self) -> Lease | None:
        return self.leases.current()

    def release(self, holder: str) -> None:
        if self.is_down:
            raise CloudError("no answer")
        self.leases.release(holder)


@dataclass
class Own:
    """A ramp's own lease over failing leases."""

    clock: ManualClock = field(default_factory=ManualClock)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Failing(InMemoryLeases(self.clock))
        open_store: Callable[[], LeaseStore] = lambda: self.store  # noqa: E731
        self.lease = RampLease(open_store, "me", "5,25", 60.0, self.clock, self.told.append)


def test_a_ramp_that_cannot_renew_goes_on() -> None:
    """It says so, and renews when the leases are back."""
    own = Own()
    with own.lease.kept(over=False):
        own.store.is_down = True
        assert own.lease.taken_over_by() is None
        own.store.is_down = False
        own.clock.advance(200)
        assert own.lease.taken_over_by() is None
        assert own.store.current() is not None
        own.store.is_down = True
    assert ["not be told" in line or "stays until it expires" in line for line in own.told] == [True, True]


def test_a_ramp_learns_who_took_over() -> None:
    """And it does not give up a lease that is no longer its own."""
    own = Own()
    with own.lease.kept(over=False):
        other = replace(COLLEAGUE, expires_s=int(own.clock.now()) + 100)
        own.store.take(other, over=True)
        assert own.lease.taken_over_by() == "night-shift"
    assert own.store.current() == other


def test_two_ramps_do_not_begin_together() -> None:
    """The second is refused, whoever begins it."""
    first = Own()
    second = RampLease(lambda: first.store, "me", "5,25", 60.0, first.clock, first.told.append)
    with (
        first.lease.kept(over=False),
        pytest.raises(RolloutRefused, match="me's ramp 5,25"),
        second.kept(over=False),
    ):
        pytest.fail("the second ramp has begun")


def test_after_a_failed_shadow_a_percentage_says_that_the_mode_is_still_shadow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody would be served the LLM's order, whatever the percentage; a program reads the mode."""
    use(monkeypatch, InMemoryControl(ManualClock(), FlagDocument(enabled=False, percent=1, mode="shadow")))
    assert flagrank(monkeypatch, "percent", "60", "--dry-run") == 0
    assert "the mode is still shadow" in capsys.readouterr().out
    assert flagrank(monkeypatch, "percent", "60") == 0
    assert "the mode is still shadow" in capsys.readouterr().out
    assert flagrank(monkeypatch, "on", "--json") == 0
    assert json.loads(capsys.readouterr().out)["mode"] == "shadow"
