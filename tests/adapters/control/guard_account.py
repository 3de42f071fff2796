"""A flag as the guard has it, by id: boto3 to the AppConfig stand-in, and to a CloudWatch that records its calls."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from flagrank.adapters.control.appconfig_deployments import Patience
from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.adapters.control.appconfig_versions import FlagIds
from flagrank.adapters.control.cloudwatch_alarms import AlarmActions
from flagrank.adapters.in_memory import ManualClock
from flagrank.flags.document import FlagDocument
from flagrank.local.appconfig import create_app
from tests.adapters.loopback import Answer, Call, Loopback, client
from tests.local.conftest import served
from tests.unit.delivery.guard_story import BEGAN, at, on

MONITOR = "flagrank-FlagMonitor"
ROLLBACK_S = 2.0
WAIT_S = 40.0
DISABLED, ENABLED = ("DisableAlarmActions", MONITOR), ("EnableAlarmActions", MONITOR)


@dataclass
class Account:
    """One flag, its control as the guard has it, and the calls that CloudWatch got. Waiting moves the clock."""

    clock: ManualClock
    appconfig: Any
    ids: FlagIds
    strategy: str
    addresses: dict[str, str]
    cloudwatch: Any
    alarm_actions: list[tuple[str, str]]
    composite: dict[str, Any]

    @property
    def control(self) -> AppConfigRolloutControl:
        """The guard's control of one event, whose time begins now."""
        return self.guarded(self.strategy)

    def guarded(self, strategy: str, total_s: float = 180.0) -> AppConfigRolloutControl:
        """The guard's control, with a deployment strategy of its own and patience for `total_s`."""
        patience = Patience(WAIT_S, total_s, self.clock, self.clock.advance)
        monitor = AlarmActions(self.cloudwatch, MONITOR)
        return AppConfigRolloutControl(self.appconfig, self.ids, patience, strategy=strategy, monitor=monitor)

    def new_strategy(self, minutes: int, bake_minutes: int) -> str:
        """The id of a new strategy, which gives everyone the document at once."""
        strategy: str = self.appconfig.create_deployment_strategy(
            Name=f"{minutes}-{bake_minutes}",
            DeploymentDurationInMinutes=minutes,
            FinalBakeTimeInMinutes=bake_minutes,
            GrowthFactor=100.0,
            ReplicateTo="NONE",
        )["Id"]
        return strategy

    def deploy(
        self, document: FlagDocument | bytes, minutes: float, strategy: str = "", description: str = "me: a step"
    ) -> int:
        """A deployment by somebody else, through the console if it is bytes; gives its number."""
        self.move_to(minutes)
        content = document if isinstance(document, bytes) else document.model_dump_json(by_alias=True).encode()
        version = self.appconfig.create_hosted_configuration_version(
            **self.ids.of_profile, Content=content, ContentType="application/json"
        )["VersionNumber"]
        started = self.appconfig.start_deployment(
            **self.ids.of_environment,
            ConfigurationProfileId=self.ids.profile,
            DeploymentStrategyId=strategy or self.strategy,
            ConfigurationVersion=str(version),
            Description=description,
        )
        number: int = started["DeploymentNumber"]
        return number

    def undo(self, minutes: float) -> None:
        """The newest deployment is rolled back, and that is over at this minute."""
        self.move_to(minutes - ROLLBACK_S / 60)
        number = self.control.deployed().latest_number
        self.appconfig.stop_deployment(**self.ids.of_environment, DeploymentNumber=number, AllowRevert=True)
        self.move_to(minutes)

    def move_to(self, minutes: float) -> None:
        """Moves the clock to a minute of the story."""
        self.clock.advance(at(minutes).timestamp() - self.clock.now())

    def is_watched(self) -> bool:
        """Whether AppConfig heeds its monitor."""
        actions: bool = httpx.get(self.addresses["appconfig"] + "/_monitor").json()["actions"]
        return actions

    def fire(self) -> None:
        """AppConfig's monitor fires."""
        httpx.put(self.addresses["appconfig"] + "/_monitor", json={"firing": True}).raise_for_status()

    def ramp(self, *percents: float) -> None:
        """A step every twenty minutes, the first at minute 0."""
        for place, percent in enumerate(percents):
            self.deploy(on(percent), 20 * place)

    def in_force(self) -> FlagDocument | None:
        return self.control.deployed().document


@pytest.fixture
def account() -> Iterator[Account]:
    clock = ManualClock(BEGAN.timestamp())
    alarm_actions: list[tuple[str, str]] = []
    composite = {"StateValue": "OK", "StateTransitionedTimestamp": at(0).timestamp()}

    def cloudwatch_answers(_: Call) -> Answer:
        return Answer(body=json.dumps({"CompositeAlarms": [composite]}).encode())

    with served(create_app(clock, rollback_s=ROLLBACK_S)) as url, Loopback(cloudwatch_answers) as cloudwatch:

        def record(params: dict[str, Any], model: Any, **_: Any) -> None:
            alarm_actions.append((model.name, *params["AlarmNames"]))
            httpx.put(url + "/_monitor", json={"actions": model.name == ENABLED[0]}).raise_for_status()

        appconfig = client("appconfig", url)
        application = appconfig.create_application(Name="flagrank")["Id"]
        environment = appconfig.create_environment(
            ApplicationId=application, Name="production", Monitors=[{"AlarmArn": MONITOR}]
        )["Id"]
        profile = appconfig.create_configuration_profile(
            ApplicationId=application, Name="rerank", LocationUri="hosted", Type="AWS.Freeform"
        )["Id"]
        strategy = appconfig.create_deployment_strategy(
            Name="instant",
            DeploymentDurationInMinutes=0,
            FinalBakeTimeInMinutes=0,
            GrowthFactor=100.0,
            ReplicateTo="NONE",
        )["Id"]
        ids = FlagIds(application, environment, profile)
        addresses = {"appconfig": url, "cloudwatch": cloudwatch.url}
        alarms = client("cloudwatch", cloudwatch.url)
        for operation in (DISABLED[0], ENABLED[0]):
            alarms.meta.events.register(f"provide-client-params.cloudwatch.{operation}", record)
        yield Account(clock, appconfig, ids, strategy, addresses, alarms, alarm_actions, composite)
