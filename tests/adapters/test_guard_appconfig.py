"""The guard's hand on AppConfig, through boto3 to the stand-in and to a CloudWatch that only listens."""

import importlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from flagrank.adapters import guard_appconfig
from flagrank.adapters.guard_appconfig import GuardedAppConfig
from flagrank.errors import RolloutRefused
from flagrank.guard import Alarm, plan, respond
from flagrank.local.appconfig import create_app
from flagrank.rollout import FlagDocument
from tests.adapters.loopback import REGION, Answer, Call, Loopback, client
from tests.local.conftest import served
from tests.unit.guarded_flag import BEGAN, alarm, at, on

MONITOR = "flagrank-FlagMonitor"
BLIND, ARMED = ("DisableAlarmActions", MONITOR), ("EnableAlarmActions", MONITOR)

type Handler = Callable[[dict[str, Any], None], dict[str, Any]]


class StoryClock:
    """A clock that stands at a minute of the story."""

    def __init__(self) -> None:
        self.minutes = 0.0

    def now(self) -> float:
        return at(self.minutes).timestamp()

    def monotonic(self) -> float:
        return self.now()


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
    composite_state: list[str]

    def deploy(self, document: FlagDocument, minutes: float, strategy: str = "") -> int:
        """An operator's deployment; gives its number."""
        self.clock.minutes = minutes
        profile = {"ApplicationId": self.ids["application"], "ConfigurationProfileId": self.ids["profile"]}
        content = document.model_dump_json(by_alias=True).encode()
        version = self.appconfig.create_hosted_configuration_version(
            **profile, Content=content, ContentType="application/json"
        )["VersionNumber"]
        started = self.appconfig.start_deployment(
            **profile,
            EnvironmentId=self.ids["environment"],
            DeploymentStrategyId=strategy or self.ids["strategy"],
            ConfigurationVersion=str(version),
            Description="me: a step",
        )
        number: int = started["DeploymentNumber"]
        return number

    def ramp(self, *percents: float) -> None:
        for place, percent in enumerate(percents):
            self.deploy(on(percent), 20 * place)

    def in_force(self) -> FlagDocument:
        return self.guarded.steps().newest_first[0].document


@pytest.fixture
def account() -> Iterator[Account]:
    clock = StoryClock()
    told: list[tuple[str, str]] = []
    states = ["OK"]

    def cloudwatch_says(_: Call) -> Answer:
        return Answer(body=json.dumps({"CompositeAlarms": [{"StateValue": state} for state in states]}).encode())

    with served(create_app(clock)) as url, Loopback(cloudwatch_says) as cloudwatch:
        appconfig = client("appconfig", url)
        application = appconfig.create_application(Name="flagrank")["Id"]
        environment = appconfig.create_environment(ApplicationId=application, Name="production")["Id"]
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
        alarms.meta.events.register(
            "provide-client-params.cloudwatch",
            lambda params, model, **_: told.append((model.name, *params["AlarmNames"])),
        )
        yield Account(
            clock, appconfig, ids, addresses, GuardedAppConfig(appconfig, alarms, ids, MONITOR), alarms, told, states
        )


def test_an_alarm_lowers_exposure_and_says_why(account: Account) -> None:
    """The deployment carries actor, alarm, state time and both shares; AppConfig's monitor is blind meanwhile."""
    account.ramp(1, 5, 25)
    account.clock.minutes = 46
    assert respond(alarm(45), account.guarded).after == 5
    newest = account.guarded.steps().newest_first[0]
    assert newest.document == on(5)
    assert newest.description == "guard: worse in ALARM since 2026-01-01T00:45:00+00:00: 25 % -> 5 %"
    assert account.alarm_actions == [BLIND, ARMED]


def test_a_step_that_bakes_is_stopped(account: Account) -> None:
    """The environment takes one deployment at a time, so the one in flight is rolled back first."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.clock.minutes = 42
    assert respond(alarm(41), account.guarded).after == 5
    steps = account.guarded.steps()
    assert [step.document.percent for step in steps.newest_first] == [5, 5, 1]
    assert not steps.newest_first[0].in_flight


def test_what_changed_since_it_was_read_is_refused(account: Account) -> None:
    """A version made meanwhile, or a deployment begun meanwhile, is never overwritten."""
    account.ramp(1, 5)
    seen = account.guarded.steps()
    planned = plan(alarm(21), seen)
    assert not isinstance(planned, str)
    account.deploy(on(1), 22)
    with pytest.raises(RolloutRefused):
        account.guarded.lower(planned, seen)
    assert account.in_force() == on(1)
    assert account.alarm_actions == []


def test_a_deployment_of_another_operator_meanwhile_is_refused(account: Account) -> None:
    """Deploying an old version again makes no version, but is noticed all the same."""
    account.ramp(1, 5)
    seen = account.guarded.steps()
    planned = plan(alarm(21), seen)
    assert not isinstance(planned, str)
    account.clock.minutes = 22
    profile = {"ApplicationId": account.ids["application"], "ConfigurationProfileId": account.ids["profile"]}
    account.appconfig.start_deployment(
        **profile,
        EnvironmentId=account.ids["environment"],
        DeploymentStrategyId=account.ids["strategy"],
        ConfigurationVersion="1",
    )
    with pytest.raises(RolloutRefused):
        account.guarded.lower(planned, seen)
    assert account.in_force() == on(1)
    assert account.alarm_actions == [BLIND, ARMED]


def test_a_deployment_that_was_undone_is_known(account: Account) -> None:
    """The alarm that had 25 % rolled back is not answered with the 5 % as well."""
    account.ramp(1, 5)
    number = account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.clock.minutes = 45
    scope = {"ApplicationId": account.ids["application"], "EnvironmentId": account.ids["environment"]}
    account.appconfig.stop_deployment(**scope, DeploymentNumber=number, AllowRevert=True)
    assert not respond(alarm(44), account.guarded).lowered
    assert account.in_force() == on(5)


def test_a_document_of_another_release_ends_the_history(account: Account) -> None:
    """What this code cannot read vouches for nothing; if it is in force, somebody has to look."""
    profile = {"ApplicationId": account.ids["application"], "ConfigurationProfileId": account.ids["profile"]}
    account.ramp(5)
    assert len(account.guarded.steps().newest_first) == 1
    account.appconfig.create_hosted_configuration_version(
        **profile, Content=b'{"schema": 9}', ContentType="application/json"
    )
    account.appconfig.start_deployment(
        **profile,
        EnvironmentId=account.ids["environment"],
        DeploymentStrategyId=account.ids["strategy"],
        ConfigurationVersion="2",
    )
    with pytest.raises(ValueError, match="schema"):
        account.guarded.steps()
    account.deploy(on(25), 40)
    assert [step.document for step in account.guarded.steps().newest_first] == [on(25)]


def test_an_empty_environment_has_no_steps(account: Account) -> None:
    """Nothing was deployed, so nothing is lowered."""
    assert not respond(alarm(1), account.guarded).lowered
    account.guarded.rearm()
    assert account.alarm_actions == [ARMED]


def test_the_monitor_stays_blind_while_the_guard_s_own_deployment_is_in_flight(account: Account) -> None:
    """Another event at that moment does not arm it; an operator's deployment it does watch."""
    account.deploy(on(25), 0, strategy="AppConfig.AllAtOnce")
    account.guarded.rearm()
    assert account.alarm_actions == [ARMED]
    account.clock.minutes = 60
    profile = {"ApplicationId": account.ids["application"], "ConfigurationProfileId": account.ids["profile"]}
    account.appconfig.start_deployment(
        **profile,
        EnvironmentId=account.ids["environment"],
        DeploymentStrategyId="AppConfig.AllAtOnce",
        ConfigurationVersion="1",
        Description="guard: worse",
    )
    account.guarded.rearm()
    assert account.alarm_actions == [ARMED]


def test_a_deployment_that_does_not_end_is_reported(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a strategy that bakes, the guard waits so long and no longer, and leaves the monitor blind to it."""
    monkeypatch.setattr(guard_appconfig, "POLL_S", 0)
    account.ramp(1, 5)
    seen = account.guarded.steps()
    planned = plan(alarm(21), seen)
    assert not isinstance(planned, str)
    account.ids["strategy"] = "AppConfig.AllAtOnce"
    slow = GuardedAppConfig(account.appconfig, account.alarms, account.ids, MONITOR)
    with pytest.raises(RolloutRefused, match="deployment 3 did not end"):
        slow.lower(planned, seen)
    assert account.alarm_actions == [BLIND]
    assert account.in_force() == on(1)


def test_concurrent_alarms_lower_once_each_at_most(account: Account) -> None:
    """Eight deliveries of one alarm over real HTTP: one deployment, and the others find it."""
    account.ramp(1, 5, 25)
    account.clock.minutes = 46

    def deliver(event: Alarm) -> bool:
        try:
            return respond(event, account.guarded).lowered
        except RolloutRefused:  # Lambda's retry finds the work done
            return False

    with ThreadPoolExecutor(8) as threads:
        lowered = list(threads.map(deliver, [alarm(45)] * 8))
    assert sum(lowered) == 1
    assert account.in_force() == on(5)


@pytest.fixture
def handler(account: Account, monkeypatch: pytest.MonkeyPatch) -> Handler:
    """The function as Lambda imports it, over the account."""
    variables = {
        **{f"FLAGRANK_APPCONFIG_{name.upper()}": value for name, value in account.ids.items()},
        **{f"AWS_ENDPOINT_URL_{name.upper()}": url for name, url in account.addresses.items()},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "FLAGRANK_MONITOR_ALARM": MONITOR,
        "FLAGRANK_ALARM": "worse",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found: Handler = importlib.reload(importlib.import_module("functions.guard.app")).handler
    return found


def test_the_lambda_answers_eventbridge(account: Account, handler: Handler, capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm lowers exposure once, and one metric line for each event says what became of it."""
    account.ramp(1, 5, 25)
    account.clock.minutes = 46
    state = {"value": "ALARM", "timestamp": (BEGAN.replace(minute=45)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")}
    event = {"source": "aws.cloudwatch", "detail": {"alarmName": "worse", "state": state}}
    answers = [handler(event, None) for _ in range(2)]
    assert [(answer["lowered"], answer["before"], answer["after"]) for answer in answers] == [
        (True, 25.0, 5.0),
        (False, 5.0, 5.0),
    ]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"] for line in lines] == [
        "ExposureLowered",
        "AlarmIgnored",
    ]
    assert lines[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert (lines[0]["before_percent"], lines[0]["after_percent"]) == ("25", "5")


@pytest.mark.parametrize(("state", "percent"), [("ALARM", 5.0), ("OK", 25.0)])
def test_the_lambda_looks_at_the_alarm_when_the_clock_strikes(
    account: Account, handler: Handler, state: str, percent: float
) -> None:
    """An alarm that stays on sends no event, so the schedule's event asks for its state."""
    account.ramp(1, 5, 25)
    account.composite_state[:] = [state]
    answer = handler({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, None)
    assert answer["lowered"] == (state == "ALARM")
    assert account.in_force() == on(percent)
