"""The operator's hand on AppConfig, where the service is slow, others are faster, or CloudWatch hangs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from flagrank.adapters.control import appconfig_rollout as appconfig_control
from flagrank.adapters.control.appconfig_listing import items
from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.adapters.control.cloudwatch_alarms import AlarmActions
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.rollback import switch_off
from flagrank.errors import RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.local.appconfig import create_app
from flagrank.local.seed import create_flag_profile
from tests.adapters.loopback import client
from tests.local.conftest import served


def on(percent: float) -> FlagDocument:
    return FlagDocument(enabled=True, percent=percent)


@dataclass
class Eventful:
    """A boto3 client that keeps its calls; before the next call of an operation something may happen.

    `states` are what the next looks at a deployment, by its number, see: whatever its state is.
    """

    client: Any
    calls: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    states: dict[int, list[str]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        """The client's operation, or whatever else it has of this name."""
        operation = getattr(self.client, name)
        if name in ("exceptions", "meta"):
            return operation

        def call(**parameters: Any) -> Any:
            self.calls.append(name)
            self.before.pop(name, lambda: None)()
            answer = operation(**parameters)
            if name == "get_deployment" and self.states.get(parameters["DeploymentNumber"]):
                answer["State"] = self.states[parameters["DeploymentNumber"]].pop(0)
            return answer

        return call


@dataclass
class Account:
    """A flag at 5 %, then at 50 % with a bake, and the client of whoever looks at it."""

    appconfig: Eventful
    clock: ManualClock
    environment: dict[str, str]

    def control(self, monitor: AlarmActions | None = None) -> AppConfigRolloutControl:
        return AppConfigRolloutControl(self.appconfig, "flagrank", "test", "rerank", monitor)

    def rival(self) -> AppConfigRolloutControl:
        return AppConfigRolloutControl(self.appconfig.client, "flagrank", "test", "rerank")

    def stop(self, number: int) -> None:
        self.appconfig.client.stop_deployment(**self.environment, DeploymentNumber=number, AllowRevert=True)

    def states(self) -> list[str]:
        return [entry.state for entry in reversed(self.rival().history(9))]


@pytest.fixture
def account(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setattr(appconfig_control, "POLL_S", 0.0)
    with served(create_app(clock)) as url:
        appconfig = client("appconfig", url)
        create_flag_profile(appconfig, "flagrank", "test", "rerank")
        application = appconfig.list_applications()["Items"][0]["Id"]
        environment = appconfig.list_environments(ApplicationId=application)["Items"][0]["Id"]
        ids = {"ApplicationId": application, "EnvironmentId": environment}
        made = Account(Eventful(appconfig), clock, ids)
        made.rival().deploy(on(5), actor="rival", reason="init")
        made.rival().deploy(on(50), actor="rival", reason="percent 50")
        yield made


def off(account: Account, monitor: AlarmActions | None = None) -> FlagDocument | None:
    """What is in force after the kill switch."""
    assert switch_off(account.control(monitor), actor="me", reason="off (hurts)") is not None
    return account.rival().deployed().document


@pytest.mark.parametrize("operation", ["create_hosted_configuration_version", "start_deployment"])
def test_off_wins_over_whoever_deploys_meanwhile(account: Account, operation: str) -> None:
    """Between its look and its version, or its version and its start."""
    account.clock.advance(300)
    account.appconfig.before[operation] = lambda: account.rival().deploy(on(100), actor="rival", reason="percent 100")
    assert off(account) == FlagDocument(percent=100)
    assert account.states() == ["COMPLETE", "COMPLETE", "ROLLED_BACK", "COMPLETE"]


def test_a_label_that_was_given_by_hand_is_not_in_the_way(account: Account) -> None:
    """Somebody called version 3 `v4`; the change that makes version 4 goes through, under a name of its own."""
    appconfig, profile = account.appconfig.client, {"ApplicationId": account.environment["ApplicationId"]}
    profile["ConfigurationProfileId"] = appconfig.list_configuration_profiles(**profile)["Items"][0]["Id"]
    by_hand = on(1).model_dump_json(by_alias=True).encode()
    appconfig.create_hosted_configuration_version(
        **profile, Content=by_hand, ContentType="application/json", VersionLabel="v4"
    )
    assert off(account) == FlagDocument(percent=50)
    newest = account.rival().deployed().deployment
    assert newest is not None
    assert (newest.version, newest.name) == ("4", "v4-flagrank")
    assert account.rival().document("v4") == on(1)
    assert account.rival().document("v4-flagrank") == FlagDocument(percent=50)


def test_off_goes_on_where_the_one_in_flight_has_ended_by_itself(account: Account) -> None:
    """Somebody else stopped it right before; AppConfig refuses to stop it twice."""
    account.appconfig.before["stop_deployment"] = lambda: account.stop(2)
    assert off(account) == FlagDocument(percent=50)


def test_off_waits_for_a_rollback_that_runs_and_does_not_stop_it(account: Account) -> None:
    """AppConfig's monitor was faster: that deployment is on its way out, and no StopDeployment helps it."""
    account.stop(2)
    account.appconfig.states = {2: ["ROLLING_BACK"] * 3}
    assert off(account) == FlagDocument(percent=5)
    assert "stop_deployment" not in account.appconfig.calls


def test_a_start_that_is_slow_is_no_refusal(account: Account) -> None:
    """It is given back as it is: the operator hears that it is not confirmed, and not that it failed."""
    account.clock.advance(300)
    control, deployed = account.control(), account.control().deployed()
    account.appconfig.states = {3: ["DEPLOYING"] * (appconfig_control.POLLS + 1)}
    real_start = account.appconfig.client.start_deployment

    def slow_start(**parameters: Any) -> Any:
        return {**real_start(**parameters), "State": "DEPLOYING"}

    account.appconfig.client.start_deployment = slow_start
    made = control.deploy(on(1), actor="me", reason="percent 1", since=deployed)
    assert (made.arriving, account.rival().deployed().document) == (True, on(1))


def test_a_start_that_is_heard_of_no_more_is_no_failure(account: Account) -> None:
    """AppConfig took it, and then does not answer."""
    account.clock.advance(300)
    control, deployed = account.control(), account.control().deployed()
    real_start = account.appconfig.client.start_deployment

    def start_and_fall_silent(**parameters: Any) -> Any:
        started = {**real_start(**parameters), "State": "DEPLOYING"}
        account.appconfig.before["get_deployment"] = unreachable
        return started

    account.appconfig.client.start_deployment = start_and_fall_silent
    made = control.deploy(on(1), actor="me", reason="percent 1", since=deployed)
    assert (made.arriving, account.rival().deployed().document) == (True, on(1))


def unreachable() -> None:
    raise EndpointConnectionError(endpoint_url="appconfig")


def test_what_lowers_exposure_is_waited_for_and_not_stopped(account: Account) -> None:
    """Stopping a lowering brings the larger share back, for good if the next start fails."""
    account.clock.advance(300)
    account.rival().deploy(on(5), actor="rival", reason="percent 5")
    account.appconfig.states = {3: ["DEPLOYING", "DEPLOYING"]}
    control = account.control()
    seen = control.deployed()
    assert seen.must_end
    control.deploy(on(1), actor="me", reason="percent 1", since=seen)
    assert "stop_deployment" not in account.appconfig.calls
    assert account.states() == ["COMPLETE"] * 4


def test_a_lowering_that_does_not_end_is_stopped_by_off_alone(account: Account) -> None:
    """A smaller share hears what it waits for; nobody at all is worth the moment in between."""
    account.clock.advance(300)
    account.rival().deploy(on(5), actor="rival", reason="percent 5")
    account.appconfig.states = {3: ["DEPLOYING"] * (appconfig_control.POLLS + 1)}
    with pytest.raises(RolloutRefused, match="exposure goes down already: deployment 3 is DEPLOYING"):
        account.control().deploy(on(1), actor="me", reason="percent 1")
    account.appconfig.states = {3: ["DEPLOYING"] * (appconfig_control.POLLS + 1)}
    assert off(account) == FlagDocument(percent=5)
    assert account.states()[2:] == ["REVERTED", "COMPLETE"]


def test_off_takes_as_many_calls_as_it_needs(account: Account) -> None:
    """Of a long history it reads the newest deployment alone, and with it its document."""
    for _ in range(20):
        account.clock.advance(300)
        account.rival().deploy(on(5), actor="rival", reason="percent 5")
        account.rival().deploy(on(50), actor="rival", reason="percent 50")
    account.clock.advance(300)
    off(account)
    assert account.appconfig.calls == [
        *("list_applications", "list_environments", "list_configuration_profiles"),
        *("list_deployments", "get_deployment", "get_hosted_configuration_version"),
        *("list_hosted_configuration_versions", "create_hosted_configuration_version"),
        *("list_deployment_strategies", "start_deployment"),
    ]


def test_a_listing_is_read_page_by_page() -> None:
    """The next page only where somebody goes on."""
    asked = []

    def listing(**parameters: str) -> dict[str, Any]:
        asked.append(parameters.get("NextToken"))
        return {"Items": [{"Id": len(asked)}], "NextToken": f"page {len(asked)}"}

    entries = items(listing)
    assert ([next(entries)["Id"], next(entries)["Id"]], asked) == ([1, 2], [None, "page 1"])


def test_a_version_is_described_in_ascii(account: Account) -> None:
    """It travels as an HTTP header; the deployment's own description keeps every letter."""
    account.clock.advance(300)
    account.control().deploy(on(1), actor="Jürgen", reason="percent 1 (hängt — 3 Uhr\n\x00)")
    application = account.environment["ApplicationId"]
    profile = account.rival()._profile["ConfigurationProfileId"]
    version = account.appconfig.client.get_hosted_configuration_version(
        ApplicationId=application, ConfigurationProfileId=profile, VersionNumber=3
    )
    assert version["Description"] == "Jurgen: percent 1 (hangt ? 3 Uhr ?)"


class Silent:
    """A CloudWatch that never answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """Every operation fails, as after its timeout."""
        self.asked.append(name)

        def call(**_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="cloudwatch")

        return call


def test_off_does_without_cloudwatch(account: Account) -> None:
    """Asked once to keep the monitor quiet and once to arm it again, and gone on without."""
    silent = Silent()
    assert off(account, AlarmActions(silent, "flagrank-FlagMonitor")) == FlagDocument(percent=50)
    assert silent.asked == ["disable_alarm_actions", "enable_alarm_actions"]
