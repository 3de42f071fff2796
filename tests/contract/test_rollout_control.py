"""What every RolloutControl promises."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flagrank.adapters.appconfig_control import FlagControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.adapters.in_memory_control import InMemoryControl
from flagrank.deployments import RolloutControl
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.local.appconfig import create_app
from flagrank.local.seed import create_flag_profile
from flagrank.rollout import FlagDocument
from tests.adapters.loopback import client
from tests.local.conftest import served

OPERATORS = 6


def on(percent: float) -> FlagDocument:
    return FlagDocument(enabled=True, percent=percent)


@pytest.fixture(params=["in_memory", "appconfig"])
def control(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[RolloutControl]:
    if request.param == "in_memory":
        yield InMemoryControl(clock)
        return
    with served(create_app(clock)) as url:
        appconfig = client("appconfig", url)
        create_flag_profile(appconfig, "flagrank", "test", "rerank")
        yield FlagControl(appconfig, "flagrank", "test", "rerank")


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


def test_history_is_newest_first_and_as_long_as_asked(control: RolloutControl) -> None:
    """Every change is in it."""
    for percent in (1, 5, 25):
        control.deploy(on(percent), actor="me", reason=f"percent {percent}")
    assert [entry.change for entry in control.history(2)] == ["percent 25", "percent 5"]
    assert len(control.history(9)) == 3


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


@pytest.mark.rollout
def test_of_operators_who_saw_the_same_one_is_let_through(control: RolloutControl) -> None:
    """However close they are; the others are told what another one does, and nothing of theirs is in force."""
    control.deploy(on(1), actor="me", reason="percent 1")
    for start in range(3):
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
