"""What every RolloutControl promises."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.deployments import RolloutControl
from flagrank.delivery.rollback import rollback_target, switch_off
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.local.appconfig import create_app
from flagrank.local.seed import create_flag_profile
from tests.adapters.loopback import client
from tests.local.conftest import served

OPERATORS = 6
BAKE_S = 300.0
# valid JSON Schema, and not a share that the function would take
TOO_FINE = b'{"enabled": true, "percent": 12.345}'


def on(percent: float) -> FlagDocument:
    return FlagDocument(enabled=True, percent=percent)


@dataclass(frozen=True)
class Console:
    """Somebody at AppConfig's console, where only a schema checks a document."""

    control: RolloutControl
    create_version: Callable[[bytes], int]

    def deploy(self, content: bytes) -> None:
        version = str(self.create_version(content))
        self.control.redeploy(version, actor="console", reason="by hand", since=self.control.deployed())


@pytest.fixture(params=["in_memory", "appconfig"])
def console(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Console]:
    if request.param == "in_memory":
        in_memory = InMemoryControl(clock, bake_s=BAKE_S)
        yield Console(in_memory, in_memory.create_version)
        return
    with served(create_app(clock)) as url:
        appconfig = client("appconfig", url)
        create_flag_profile(appconfig, "flagrank", "test", "rerank")
        application = appconfig.list_applications()["Items"][0]["Id"]
        profile = appconfig.list_configuration_profiles(ApplicationId=application)["Items"][0]["Id"]
        ids = {"ApplicationId": application, "ConfigurationProfileId": profile}

        def create_version(content: bytes) -> int:
            made = appconfig.create_hosted_configuration_version(**ids, Content=content, ContentType="application/json")
            number: int = made["VersionNumber"]
            return number

        yield Console(AppConfigRolloutControl(appconfig, "flagrank", "test", "rerank"), create_version)


@pytest.fixture
def control(console: Console) -> RolloutControl:
    return console.control


def test_nothing_is_in_force_at_first(control: RolloutControl) -> None:
    """Neither a document nor a deployment, and no history."""
    deployed = control.deployed()
    assert (deployed.document, deployed.deployment, deployed.newest, deployed.latest_number) == (None, None, None, 0)
    assert control.history(5) == []


def test_a_deployment_is_in_force_with_who_and_why(control: RolloutControl, clock: ManualClock) -> None:
    """The document, its label, its actor and its time."""
    made = control.deploy(on(5), actor="me", reason="percent 5 (first: canary)")
    deployed = control.deployed()
    assert (deployed.document, deployed.deployment, deployed.in_flight) == (on(5), made, None)
    assert (made.actor, made.change, made.label, made.state) == ("me", "percent 5 (first: canary)", "v1", "COMPLETE")
    assert made.started_at_s == pytest.approx(clock.now(), abs=1)


def test_history_is_newest_first_and_as_long_as_asked(control: RolloutControl, clock: ManualClock) -> None:
    """Every change is in it."""
    for percent in (1, 5, 25):
        control.deploy(on(percent), actor="me", reason=f"percent {percent}")
        clock.advance(BAKE_S)
    assert [entry.change for entry in control.history(2)] == ["percent 25", "percent 5"]
    assert list(control.deployments()) == control.history(9)
    assert len(control.history(9)) == 3


def test_a_change_is_recorded_in_one_line_whatever_its_letters(control: RolloutControl) -> None:
    """A reason of several lines and of other alphabets breaks nothing."""
    made = control.deploy(on(5), actor="Jürgen", reason="percent 5 (LLM hängt — 3 Uhr\n\tžluť\x00)")
    assert made.description.startswith("Jürgen: percent 5 (LLM hängt — 3 Uhr žluť")
    assert control.deployed().document == on(5)


def test_a_version_is_found_by_number_and_by_label(control: RolloutControl) -> None:
    """And one that there is not is named."""
    control.deploy(on(1), actor="me", reason="percent 1")
    control.deploy(on(5), actor="me", reason="percent 5")
    assert (control.document("v1"), control.document("2")) == (on(1), on(5))
    for version in ("v3", "0", "five"):
        with pytest.raises(ConfigurationError, match=version):
            control.document(version)


def test_a_version_can_come_back(control: RolloutControl) -> None:
    """Redeployed it is in force as it was, under its old name and a new number."""
    first = control.deploy(on(1), actor="me", reason="percent 1")
    control.deploy(on(5), actor="me", reason="percent 5")
    control.redeploy(first.version, actor="me", reason="rollback to v1", since=control.deployed())
    deployed = control.deployed()
    assert (deployed.document, deployed.latest_number) == (on(1), 3)
    assert deployed.deployment is not None
    assert deployed.deployment.version == first.version


def test_a_rise_bakes_and_a_lowering_does_not_wait_for_it(control: RolloutControl, clock: ManualClock) -> None:
    """Another rise is refused and hears for how long; whatever lowers exposure stops what bakes."""
    assert control.deploy(on(1), actor="me", reason="init").state == "COMPLETE"
    rise = control.deploy(on(25), actor="me", reason="percent 25")
    assert (rise.state, rise.ends_at_s - rise.started_at_s) == ("BAKING", BAKE_S)
    with pytest.raises(RolloutRefused, match=r"deployment 2 is BAKING.*me: percent 25"):
        control.deploy(on(50), actor="you", reason="percent 50")
    assert control.deploy(on(5), actor="you", reason="percent 5").state == "COMPLETE"
    assert [entry.state for entry in control.history(3)] == ["COMPLETE", "ROLLED_BACK", "COMPLETE"]
    control.deploy(on(50), actor="me", reason="percent 50")
    clock.advance(BAKE_S)
    assert control.deployed().in_flight is None
    assert control.deploy(on(100), actor="me", reason="percent 100").state == "BAKING"


def test_what_no_release_can_read_is_told_and_replaced(console: Console) -> None:
    """The deployment stands, its document is none, and why is said; `off` and another version replace it."""
    control = console.control
    control.deploy(on(25), actor="me", reason="percent 25")
    console.deploy(TOO_FINE)
    deployed = control.deployed()
    assert (deployed.document, deployed.deployment) == (None, deployed.newest)
    assert "percent has at most two decimals" in (deployed.unreadable or "")
    with pytest.raises(ConfigurationError, match="at most two decimals"):
        control.document("2")
    assert switch_off(control, actor="me", reason="off") is not None
    assert control.deployed().document == FlagDocument(percent=25)
    console.deploy(TOO_FINE)
    back = rollback_target(control.deployments(), control.document)
    assert back is not None
    control.redeploy(back[0].version, actor="me", reason="rollback", since=control.deployed())
    assert control.deployed().document == back[1] == FlagDocument(percent=25)


def test_a_version_without_a_label_is_named_like_others(console: Console) -> None:
    """As the console makes them."""
    console.deploy(b'{"percent": 5}')
    (entry,) = console.control.history(1)
    assert (entry.name, console.control.document(entry.name)) == ("v1", FlagDocument(percent=5))


@pytest.mark.rollout
def test_of_operators_who_saw_the_same_one_is_let_through(control: RolloutControl, clock: ManualClock) -> None:
    """However close they are; the others are told what another one does, and nothing of theirs is in force."""
    control.deploy(on(1), actor="me", reason="percent 1")
    for start in range(3):
        clock.advance(BAKE_S)
        seen = [control.deployed() for _ in range(OPERATORS)]
        barrier = threading.Barrier(OPERATORS)

        def operate(operator: int) -> str:
            barrier.wait()  # noqa: B023
            percent = 10 + 10 * start + operator  # noqa: B023
            try:
                since = seen[operator]  # noqa: B023
                control.deploy(on(percent), actor=f"operator-{operator}", reason=f"percent {percent}", since=since)
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
