"""An operator's changes on AppConfig, if the service is slow, others are faster, or CloudWatch does not answer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from flagrank.adapters.control.appconfig_deployments import Patience, find_flag
from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.adapters.control.appconfig_versions import FlagIds, items
from flagrank.adapters.control.cloudwatch_alarms import AlarmActions
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.rollback import switch_off
from flagrank.errors import RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.local.appconfig import create_app
from flagrank.local.seed import create_flag_profile
from tests.adapters.loopback import client
from tests.local.conftest import served

# long enough for a rollback, and shorter than a bake
WAIT_S = 20.0
# more polls than a wait has
ENDLESS = 1000


def on(percent: float) -> FlagDocument:
    return FlagDocument(enabled=True, percent=percent)


@dataclass
class Eventful:
    """A boto3 client that keeps its calls; before the next call of an operation something may happen.

    `states` replaces the states of a deployment, by its number, in the next answers.
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
    """A flag at 5 %, then at 50 % with a bake, and the client of an operator. Waiting moves the clock."""

    appconfig: Eventful
    clock: ManualClock
    ids: FlagIds

    def control(self, monitor: AlarmActions | None = None) -> AppConfigRolloutControl:
        patience = Patience(WAIT_S, clock=self.clock, sleep=self.clock.advance)
        return AppConfigRolloutControl(self.appconfig, self.ids, patience, monitor=monitor)

    def rival(self) -> AppConfigRolloutControl:
        return AppConfigRolloutControl(self.appconfig.client, self.ids)

    def stop(self, number: int) -> None:
        self.appconfig.client.stop_deployment(**self.ids.of_environment, DeploymentNumber=number, AllowRevert=True)

    def states(self) -> list[str]:
        return [entry.state for entry in reversed(self.rival().history(9))]


@pytest.fixture
def account(clock: ManualClock) -> Iterator[Account]:
    with served(create_app(clock)) as url:
        appconfig = client("appconfig", url)
        create_flag_profile(appconfig, "flagrank", "test", "rerank")
        made = Account(Eventful(appconfig), clock, find_flag(appconfig, "flagrank", "test", "rerank"))
        made.rival().deploy(on(5), ChangeRecord("rival", "init"))
        made.rival().deploy(on(50), ChangeRecord("rival", "percent 50"))
        yield made


def off(account: Account, monitor: AlarmActions | None = None) -> FlagDocument | None:
    """What is in force after `off`."""
    assert switch_off(account.control(monitor), ChangeRecord("me", "off (hurts)")) is not None
    return account.rival().deployed().document


@pytest.mark.parametrize("operation", ["create_hosted_configuration_version", "start_deployment"])
def test_off_is_not_kept_from_working_by_somebody_who_deploys_meanwhile(account: Account, operation: str) -> None:
    """Whether between its reading and its version, or between its version and its start."""
    account.clock.advance(300)
    account.appconfig.before[operation] = lambda: account.rival().deploy(on(100), ChangeRecord("rival", "percent 100"))
    assert off(account) == FlagDocument(percent=100)
    assert account.states() == ["COMPLETE", "COMPLETE", "ROLLED_BACK", "COMPLETE"]


def test_a_label_that_was_given_by_hand_does_not_keep_off_from_working(account: Account) -> None:
    """Somebody labelled version 3 `v4`. The change that makes version 4 gives it another label."""
    by_hand = on(1).model_dump_json(by_alias=True).encode()
    account.appconfig.client.create_hosted_configuration_version(
        **account.ids.of_profile, Content=by_hand, ContentType="application/json", VersionLabel="v4"
    )
    assert off(account) == FlagDocument(percent=50)
    newest = account.rival().deployed().deployment
    assert newest is not None
    assert (newest.version, newest.name) == ("4", "v4-flagrank")
    assert account.rival().document("v4") == on(1)
    assert account.rival().document("v4-flagrank") == FlagDocument(percent=50)


def test_off_goes_on_if_what_was_in_flight_has_ended_by_itself(account: Account) -> None:
    """Somebody else stopped it first, and AppConfig refuses to stop it twice."""
    account.appconfig.before["stop_deployment"] = lambda: account.stop(2)
    assert off(account) == FlagDocument(percent=50)


def test_off_waits_for_a_rollback_that_runs_and_does_not_stop_it(account: Account) -> None:
    """AppConfig's monitor was faster, and StopDeployment would do nothing."""
    account.stop(2)
    account.appconfig.states = {2: ["ROLLING_BACK"] * 3}
    assert off(account) == FlagDocument(percent=5)
    assert "stop_deployment" not in account.appconfig.calls


def test_a_start_that_is_slow_is_no_refusal(account: Account) -> None:
    """It is returned as it is: the operator learns that it is not confirmed, not that it failed."""
    account.clock.advance(300)
    control, deployed = account.control(), account.control().deployed()
    account.appconfig.states = {3: ["DEPLOYING"] * ENDLESS}
    real_start = account.appconfig.client.start_deployment

    def slow_start(**parameters: Any) -> Any:
        return {**real_start(**parameters), "State": "DEPLOYING"}

    account.appconfig.client.start_deployment = slow_start
    made = control.deploy(on(1), ChangeRecord("me", "percent 1"), since=deployed)
    assert (made.is_arriving, account.rival().deployed().document) == (True, on(1))


def test_a_start_without_a_confirmation_is_no_failure(account: Account) -> None:
    """AppConfig started it, and then does not answer any more."""
    account.clock.advance(300)
    control, deployed = account.control(), account.control().deployed()
    real_start = account.appconfig.client.start_deployment

    def start_and_go_away(**parameters: Any) -> Any:
        started = {**real_start(**parameters), "State": "DEPLOYING"}
        account.appconfig.before["get_deployment"] = unreachable
        return started

    account.appconfig.client.start_deployment = start_and_go_away
    made = control.deploy(on(1), ChangeRecord("me", "percent 1"), since=deployed)
    assert (made.is_arriving, account.rival().deployed().document) == (True, on(1))


def unreachable() -> None:
    raise EndpointConnectionError(endpoint_url="appconfig")


def test_what_lowers_exposure_is_waited_for_and_not_stopped(account: Account) -> None:
    """Stopping a lowering brings the larger exposure back, and it stays if the next start fails."""
    account.clock.advance(300)
    account.rival().deploy(on(5), ChangeRecord("rival", "percent 5"))
    account.appconfig.states = {3: ["DEPLOYING", "DEPLOYING"]}
    control = account.control()
    seen = control.deployed()
    assert seen.must_end
    control.deploy(on(1), ChangeRecord("me", "percent 1"), since=seen)
    assert "stop_deployment" not in account.appconfig.calls
    assert account.states() == ["COMPLETE"] * 4


def test_a_lowering_that_does_not_end_is_stopped_by_off_alone(account: Account) -> None:
    """A smaller percentage is refused with what it waits for. For `off` the moment in between is acceptable."""
    account.clock.advance(300)
    account.rival().deploy(on(5), ChangeRecord("rival", "percent 5"))
    account.appconfig.states = {3: ["DEPLOYING"] * ENDLESS}
    with pytest.raises(RolloutRefused, match="exposure goes down already: deployment 3 is DEPLOYING"):
        account.control().deploy(on(1), ChangeRecord("me", "percent 1"))
    account.appconfig.states = {3: ["DEPLOYING"] * ENDLESS}
    assert off(account) == FlagDocument(percent=5)
    assert account.states()[2:] == ["REVERTED", "COMPLETE"]


def test_off_takes_as_many_calls_as_it_needs(account: Account) -> None:
    """Of a long history it reads the newest deployment and its document only."""
    for _ in range(20):
        account.clock.advance(300)
        account.rival().deploy(on(5), ChangeRecord("rival", "percent 5"))
        account.rival().deploy(on(50), ChangeRecord("rival", "percent 50"))
    account.clock.advance(300)
    off(account)
    assert account.appconfig.calls == [
        *("list_hosted_configuration_versions", "list_deployments", "get_deployment"),
        *("get_hosted_configuration_version", "create_hosted_configuration_version"),
        *("list_deployment_strategies", "start_deployment"),
    ]


def test_a_listing_is_read_page_by_page() -> None:
    """The next page only if it is needed."""
    asked = []

    def listing(**parameters: str) -> dict[str, Any]:
        asked.append(parameters.get("NextToken"))
        return {"Items": [{"Id": len(asked)}], "NextToken": f"page {len(asked)}"}

    entries = items(listing)
    assert ([next(entries)["Id"], next(entries)["Id"]], asked) == ([1, 2], [None, "page 1"])


def test_a_version_is_described_in_ascii(account: Account) -> None:
    """It is sent as an HTTP header. The deployment's own description keeps every letter."""
    account.clock.advance(300)
    account.control().deploy(on(1), ChangeRecord("Jürgen", "percent 1 (hängt — 3 Uhr\n\x00)"))
    version = account.appconfig.client.get_hosted_configuration_version(**account.ids.of_profile, VersionNumber=3)
    assert version["Description"] == "Jurgen: percent 1 (hangt ? 3 Uhr ?)"


class Silent:
    """A CloudWatch that does not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """Every operation fails, as after its timeout."""
        self.asked.append(name)

        def call(**_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="cloudwatch")

        return call


def test_off_works_without_cloudwatch(account: Account) -> None:
    """It is asked once to disable the monitor's actions, so that a timeout is waited for once."""
    silent = Silent()
    assert off(account, AlarmActions(silent, "flagrank-FlagMonitor", tolerant=True)) == FlagDocument(percent=50)
    assert silent.asked == ["disable_alarm_actions"]
