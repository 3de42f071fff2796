"""What every RolloutControl promises: in memory, and on AppConfig as an operator and as the guard have it."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from flagrank.adapters.control.appconfig_deployments import find_flag
from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.alarm import Alarm
from flagrank.delivery.change_record import GUARD, ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, RolloutControl
from flagrank.delivery.guard import respond
from flagrank.delivery.rollback import rollback_target, switch_off
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.local.appconfig import create_app
from flagrank.local.seed import create_flag_profile
from tests.adapters.loopback import client
from tests.local.conftest import served

OPERATORS = 6
BAKE_S = 300.0
# AppConfig's schema takes it, and the function would not
TOO_FINE = b'{"enabled": true, "percent": 12.345}'


def on(percent: float) -> FlagDocument:
    return FlagDocument(enabled=True, percent=percent)


@dataclass(frozen=True)
class Console:
    """A flag, and somebody at AppConfig's console, where only a schema checks a document."""

    control: RolloutControl
    create_version: Callable[[bytes], int]

    def deploy(self, content: bytes) -> None:
        version = str(self.create_version(content))
        record = ChangeRecord("console", "by hand")
        self.control.redeploy(version, record, since=self.control.deployed())


# an operator knows names, and the guard knows ids and one strategy, which does not bake
OPERATORS_ONLY = pytest.mark.parametrize("console", ["in_memory", "operator"], indirect=True)


@pytest.fixture(params=["in_memory", "operator", "guard"])
def console(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Console]:
    if request.param == "in_memory":
        in_memory = InMemoryControl(clock, bake_s=BAKE_S)
        yield Console(in_memory, in_memory.create_version)
        return
    with served(create_app(clock)) as url:
        appconfig = client("appconfig", url)
        create_flag_profile(appconfig, "flagrank", "test", "rerank")
        ids = find_flag(appconfig, "flagrank", "test", "rerank")

        def create_version(content: bytes) -> int:
            made = appconfig.create_hosted_configuration_version(
                **ids.of_profile, Content=content, ContentType="application/json"
            )
            number: int = made["VersionNumber"]
            return number

        operator = AppConfigRolloutControl.named(appconfig, "flagrank", "test", "rerank")
        if request.param == "operator":
            yield Console(operator, create_version)
        else:
            yield Console(AppConfigRolloutControl(appconfig, ids, strategy=instant(appconfig)), create_version)


def instant(appconfig: Any) -> str:
    """The id of a strategy without any minutes, as the template gives the guard one."""
    made: str = appconfig.create_deployment_strategy(
        Name="instant",
        DeploymentDurationInMinutes=0,
        FinalBakeTimeInMinutes=0,
        GrowthFactor=100.0,
        ReplicateTo="NONE",
    )["Id"]
    return made


@pytest.fixture
def control(console: Console) -> RolloutControl:
    return console.control


def test_nothing_is_in_force_at_first(control: RolloutControl) -> None:
    """Neither a document nor a deployment, and no history."""
    assert control.deployed() == DeployedFlag()
    assert control.history(5) == []


def test_a_deployment_is_in_force_with_its_record(control: RolloutControl, clock: ManualClock) -> None:
    """The document, its label, its time, and who changed what and why."""
    record = ChangeRecord("me", "percent 5", "first: canary")
    made = control.deploy(on(5), record)
    deployed = control.deployed()
    assert (deployed.document, deployed.deployment, deployed.in_flight) == (on(5), made, None)
    assert (made.record, made.label, made.state) == (record, "v1", "COMPLETE")
    assert (deployed.latest_number, deployed.latest_version) == (1, 1)
    assert made.started_at_s == pytest.approx(clock.now(), abs=1)
    assert made.ended_at == made.started_at


def test_history_is_newest_first_and_as_long_as_asked(control: RolloutControl, clock: ManualClock) -> None:
    """Every change is in it."""
    for percent in (1, 5, 25):
        control.deploy(on(percent), ChangeRecord("me", f"percent {percent}"))
        clock.advance(BAKE_S)
    assert [entry.record.change for entry in control.history(2)] == ["percent 25", "percent 5"]
    assert list(control.deployments()) == control.history(9)
    assert len(control.history(9)) == 3


def test_a_record_keeps_every_letter_in_one_line(control: RolloutControl) -> None:
    """A reason may have several lines, other alphabets, and more than AppConfig takes."""
    made = control.deploy(on(5), ChangeRecord("Jürgen", "percent 5", "LLM hängt — 3 Uhr\n\tžluť\x00"))
    assert made.record.render().startswith("Jürgen: percent 5 (LLM hängt — 3 Uhr žluť")
    long = ChangeRecord("me", "off", "x" * 2000)
    assert control.deploy(on(1), long).record == long.stored()
    assert control.deployed().document == on(1)


def test_a_version_is_found_by_number_and_by_label(control: RolloutControl) -> None:
    """A version that does not exist is named in the error."""
    control.deploy(on(1), ChangeRecord("me", "percent 1"))
    control.deploy(on(5), ChangeRecord("me", "percent 5"))
    assert (control.document("v1"), control.document("2")) == (on(1), on(5))
    for version in ("v3", "0", "five"):
        with pytest.raises(ConfigurationError, match=version):
            control.document(version)


def test_a_version_can_come_back(control: RolloutControl) -> None:
    """Redeployed it has its old name, and a new number."""
    first = control.deploy(on(1), ChangeRecord("me", "percent 1"))
    control.deploy(on(5), ChangeRecord("me", "percent 5"))
    control.redeploy(first.version, ChangeRecord("me", "rollback to v1"), since=control.deployed())
    deployed = control.deployed()
    assert (deployed.document, deployed.latest_number) == (on(1), 3)
    assert deployed.deployment is not None
    assert deployed.deployment.version == first.version


@OPERATORS_ONLY
def test_a_rise_bakes_and_a_lowering_does_not_wait_for_it(control: RolloutControl, clock: ManualClock) -> None:
    """Another rise is refused with the time that remains. Whatever lowers exposure stops what bakes."""
    assert control.deploy(on(1), ChangeRecord("me", "init")).state == "COMPLETE"
    rise = control.deploy(on(25), ChangeRecord("me", "percent 25"))
    assert (rise.state, rise.remaining_s(clock.now())) == ("BAKING", BAKE_S)
    with pytest.raises(RolloutRefused, match=r"deployment 2 is BAKING.*me: percent 25"):
        control.deploy(on(50), ChangeRecord("you", "percent 50"))
    assert control.deploy(on(5), ChangeRecord("you", "percent 5")).state == "COMPLETE"
    newest, stopped, _ = control.history(3)
    assert (newest.state, stopped.state, stopped.is_undone) == ("COMPLETE", "ROLLED_BACK", True)
    assert stopped.ended_at == newest.started_at
    control.deploy(on(50), ChangeRecord("me", "percent 50"))
    clock.advance(BAKE_S)
    assert control.deployed().in_flight is None
    assert control.deploy(on(100), ChangeRecord("me", "percent 100")).state == "BAKING"


def test_what_no_release_can_read_is_reported_and_replaced(console: Console) -> None:
    """It is in force without a document, and why is known. `off` and another version replace it."""
    control = console.control
    control.deploy(on(25), ChangeRecord("me", "percent 25"))
    console.deploy(TOO_FINE)
    deployed = control.deployed()
    assert (deployed.document, deployed.deployment) == (None, deployed.newest)
    assert deployed.unreadable == "version v2 is not readable: percent: percent has at most two decimals"
    with pytest.raises(ConfigurationError, match="at most two decimals"):
        control.document("2")
    assert switch_off(control, ChangeRecord("me", "off")) is not None
    assert control.deployed().document == FlagDocument(percent=25)
    console.deploy(TOO_FINE)
    back = rollback_target(control.deployments(), control.document)
    assert back is not None
    control.redeploy(back[0].version, ChangeRecord("me", "rollback"), since=control.deployed())
    assert control.deployed().document == back[1] == FlagDocument(percent=25)


def test_a_version_without_a_label_is_named_like_others(console: Console) -> None:
    """The console makes such versions."""
    console.deploy(b'{"percent": 5}')
    (entry,) = console.control.history(1)
    assert (entry.name, console.control.document(entry.name)) == ("v1", FlagDocument(percent=5))


@pytest.mark.parametrize("urgent", [False, True])
def test_a_flag_that_changed_since_it_was_read_is_left_as_it_is(console: Console, urgent: bool) -> None:
    """By a deployment, or by a version that nobody deployed yet."""
    control, record = console.control, ChangeRecord("me", "percent 1")
    control.deploy(on(25), ChangeRecord("me", "init"))
    seen = control.deployed()
    control.deploy(on(5), ChangeRecord("you", "percent 5"))
    with pytest.raises(RolloutRefused, match="deployment 2 came first: you: percent 5"):
        control.deploy(on(1), record, urgent=urgent, since=seen)
    with pytest.raises(RolloutRefused, match="deployment 2 came first: you: percent 5"):
        control.redeploy("1", record, since=seen)
    seen = control.deployed()
    console.create_version(b"{}")
    with pytest.raises(RolloutRefused):
        control.deploy(on(1), record, urgent=urgent, since=seen)
    assert control.deployed().document == on(5)
    assert control.deploy(on(1), record, urgent=urgent).state == "COMPLETE"


def test_the_guard_lowers_exposure_and_remembers_it(control: RolloutControl, clock: ManualClock) -> None:
    """Its record in the deployment is its memory, so an alarm that comes twice acts once."""
    for percent in (1, 5, 25):
        control.deploy(on(percent), ChangeRecord("me", f"percent {percent}"))
        clock.advance(1200)
    moment = dt.datetime.fromtimestamp(clock.now() - 60, dt.UTC)
    alarm = Alarm.model_validate({"alarmName": "worse", "state": {"value": "ALARM", "timestamp": moment}})
    assert [respond(alarm, control).lowered for _ in range(2)] == [True, False]
    deployed = control.deployed()
    assert deployed.document == on(5)
    assert deployed.deployment is not None
    assert deployed.deployment.record == ChangeRecord(GUARD, "25 % -> 5 %", alarm=alarm.key)


@pytest.mark.rollout
def test_of_operators_who_read_the_same_flag_one_changes_it(control: RolloutControl, clock: ManualClock) -> None:
    """However close they are. The others learn what that one does, and nothing of theirs is in force."""
    control.deploy(on(1), ChangeRecord("me", "percent 1"))
    for start in range(3):
        clock.advance(BAKE_S)
        seen = [control.deployed() for _ in range(OPERATORS)]
        barrier = threading.Barrier(OPERATORS)

        def operate(operator: int) -> str:
            barrier.wait()  # noqa: B023
            percent = 10 + 10 * start + operator  # noqa: B023
            try:
                since = seen[operator]  # noqa: B023
                control.deploy(on(percent), ChangeRecord(f"operator-{operator}", f"percent {percent}"), since=since)
            except RolloutRefused as refused:
                return str(refused)
            return f"won {percent}"

        with ThreadPoolExecutor(OPERATORS) as threads:
            outcomes = list(threads.map(operate, range(OPERATORS)))
        winners = [float(outcome.removeprefix("won ")) for outcome in outcomes if outcome.startswith("won")]
        deployed = control.deployed()
        assert len(winners) == 1
        assert deployed.document == on(winners[0])
        assert deployed.latest_number == 2 + start
        for operator, outcome in enumerate(outcomes):
            assert outcome.startswith("won") or ("operator-" in outcome and f"operator-{operator}:" not in outcome)
