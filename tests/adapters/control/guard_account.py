"""One flag with the guard's hand on it: boto3 to the stand-in, and to a CloudWatch that only listens."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from flagrank.adapters.control import appconfig_guard as guard_appconfig
from flagrank.adapters.control.appconfig_guard import GuardedAppConfig
from flagrank.flags.document import FlagDocument
from flagrank.local.appconfig import create_app
from tests.adapters.loopback import Answer, Call, Loopback, client
from tests.local.conftest import served
from tests.unit.delivery.guarded_flag import at, on

MONITOR = "flagrank-FlagMonitor"
ROLLBACK_S = 2.0
BLIND, ARMED = ("DisableAlarmActions", MONITOR), ("EnableAlarmActions", MONITOR)


class StoryClock:
    """A clock that stands at a minute of the story, and moves while somebody sleeps."""

    def __init__(self) -> None:
        self.minutes = 0.0

    def now(self) -> float:
        return at(self.minutes).timestamp()

    def monotonic(self) -> float:
        return self.now()

    def sleep(self, seconds: float) -> None:
        self.minutes += seconds / 60


@dataclass
class Account:
    """One flag with the guard's hand on it."""

    clock: StoryClock
    appconfig: Any
    ids: dict[str, str]
    addresses: dict[str, str]
    guarded: GuardedAppConfig
    alarms: Any
    alarm_actions: list[tuple[str, str]]
    composite: dict[str, Any]

    def deploy(
        self, document: FlagDocument | bytes, minutes: float, strategy: str = "", description: str = "me: a step"
    ) -> int:
        """An operator's deployment, through the console where it is bytes; gives its number."""
        self.clock.minutes = minutes
        profile = {"ApplicationId": self.ids["application"], "ConfigurationProfileId": self.ids["profile"]}
        content = document if isinstance(document, bytes) else document.model_dump_json(by_alias=True).encode()
        version = self.appconfig.create_hosted_configuration_version(
            **profile, Content=content, ContentType="application/json"
        )["VersionNumber"]
        started = self.appconfig.start_deployment(
            **profile,
            EnvironmentId=self.ids["environment"],
            DeploymentStrategyId=strategy or self.ids["strategy"],
            ConfigurationVersion=str(version),
            Description=description,
        )
        number: int = started["DeploymentNumber"]
        return number

    def undo(self, minutes: float) -> None:
        """The newest deployment is rolled back, and that is over at this minute."""
        self.clock.minutes = minutes - ROLLBACK_S / 60
        scope = {"ApplicationId": self.ids["application"], "EnvironmentId": self.ids["environment"]}
        number = self.guarded.steps().latest_deployment
        self.appconfig.stop_deployment(**scope, DeploymentNumber=number, AllowRevert=True)
        self.clock.minutes = minutes

    def is_armed(self) -> bool:
        """Whether AppConfig heeds its monitor."""
        armed: bool = httpx.get(self.addresses["appconfig"] + "/_monitor").json()["actions"]
        return armed

    def ring(self) -> None:
        """AppConfig's monitor goes off."""
        httpx.put(self.addresses["appconfig"] + "/_monitor", json={"ringing": True}).raise_for_status()

    def ramp(self, *percents: float) -> None:
        for place, percent in enumerate(percents):
            self.deploy(on(percent), 20 * place)

    def in_force(self) -> FlagDocument | None:
        return self.guarded.steps().newest_first[0].document


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    clock = StoryClock()
    monkeypatch.setattr(guard_appconfig, "time", SimpleNamespace(sleep=clock.sleep, monotonic=time.monotonic))
    told: list[tuple[str, str]] = []
    composite = {"StateValue": "OK", "StateTransitionedTimestamp": at(0).timestamp()}

    def cloudwatch_says(_: Call) -> Answer:
        return Answer(body=json.dumps({"CompositeAlarms": [composite]}).encode())

    with served(create_app(clock, rollback_s=ROLLBACK_S)) as url, Loopback(cloudwatch_says) as cloudwatch:

        def tell(params: dict[str, Any], model: Any, **_: Any) -> None:
            told.append((model.name, *params["AlarmNames"]))
            httpx.put(url + "/_monitor", json={"actions": model.name == ARMED[0]}).raise_for_status()

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
        ids = {"application": application, "environment": environment, "profile": profile, "strategy": strategy}
        addresses = {"appconfig": url, "cloudwatch": cloudwatch.url}
        alarms = client("cloudwatch", cloudwatch.url)
        for operation in (BLIND[0], ARMED[0]):
            alarms.meta.events.register(f"provide-client-params.cloudwatch.{operation}", tell)
        yield Account(
            clock, appconfig, ids, addresses, GuardedAppConfig(appconfig, alarms, ids, MONITOR), alarms, told, composite
        )
