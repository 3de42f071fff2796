"""The guard's hand on AppConfig, through boto3 to the stand-in and to a CloudWatch that only listens."""

import importlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flagrank.adapters.control.appconfig_guard import GuardedAppConfig
from flagrank.delivery.guard import Alarm, plan, respond
from flagrank.errors import RolloutRefused
from tests.adapters.control.guard_account import ARMED, BLIND, MONITOR, Account
from tests.adapters.loopback import REGION
from tests.unit.delivery.guarded_flag import BEGAN, OFF, alarm, on

type Handler = Callable[[dict[str, Any], None], dict[str, Any]]


def test_an_alarm_lowers_exposure_and_says_why(account: Account) -> None:
    """The deployment carries actor, alarm, state time and both shares; AppConfig's monitor is blind meanwhile."""
    account.ramp(1, 5, 25)
    account.clock.minutes = 46
    assert respond(alarm(45), account.guarded).after == 5
    newest = account.guarded.steps().newest_first[0]
    assert newest.document == on(5)
    assert newest.description == "guard: worse in ALARM since 2026-01-01T00:45:00+00:00: 25 % -> 5 %"
    assert account.alarm_actions == [BLIND, BLIND, ARMED]


def test_a_step_that_bakes_is_stopped(account: Account) -> None:
    """The environment takes one deployment at a time, so the one in flight is rolled back first."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.clock.minutes = 42
    assert respond(alarm(41), account.guarded).after == 5
    steps = account.guarded.steps()
    assert [step.document for step in steps.newest_first] == [on(5), on(5), on(1)]
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
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.undo(45)
    assert not respond(alarm(44), account.guarded).lowered
    assert account.in_force() == on(5)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"enabled": true, "percent": 12.345}', "percent: Value error, percent has at most two decimals"),
        (
            b'{"enabled": true, "call_budget_ms": 500, "request_budget_ms": 500}',
            "Value error, call_budget_ms must be below request_budget_ms",
        ),
        (b'{"enabled": true, "temperature": 1}', "temperature: Extra inputs are not permitted"),
        (b'{"enabled": true, "\xc3\xa9": 1}', "?: Extra inputs are not permitted"),
        (b"no json", "Invalid JSON: expected ident at line 1 column 2"),
    ],
)
def test_what_was_put_there_by_hand_and_cannot_be_read_goes_off(account: Account, content: bytes, problem: str) -> None:
    """The newest document that can be read is in force again, off, and the record says what was wrong, in ASCII."""
    account.ramp(1, 5)
    account.deploy(content, 40)
    assert account.in_force() is None
    account.clock.minutes = 46
    outcome = respond(alarm(45), account.guarded)
    assert (outcome.lowered, outcome.before, outcome.after) == (True, 100.0, 0.0)
    newest = account.guarded.steps().newest_first[0]
    assert newest.document == on(5).model_copy(update={"enabled": False})
    assert newest.description == f"guard: {alarm(45).key}: off, as deployment 3 cannot be read: {problem}"


def test_a_version_that_was_deleted_cannot_be_read(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old step whose version is gone vouches for nothing, and fails nothing."""
    account.ramp(1, 25)
    get = account.appconfig.get_hosted_configuration_version

    def without_the_first(**arguments: Any) -> Any:
        return get(
            **{**arguments, "VersionNumber": arguments["VersionNumber"] if arguments["VersionNumber"] > 1 else 99}
        )

    monkeypatch.setattr(account.appconfig, "get_hosted_configuration_version", without_the_first)
    assert [step.document for step in account.guarded.steps().newest_first] == [on(25), None]
    account.clock.minutes = 46
    assert respond(alarm(45), account.guarded).after == 0


def test_the_newest_version_is_found_in_whatever_order_they_are_listed(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS names no order, and gives them page by page."""
    account.ramp(1, 5, 25)
    pages = [{"Items": [{"VersionNumber": number}]} for number in (2, 3, 1)]
    paginator = type("Paginator", (), {"paginate": lambda *_, **__: pages})
    monkeypatch.setattr(account.appconfig, "get_paginator", lambda _: paginator())
    assert account.guarded.steps().latest_version == 3


def test_an_empty_environment_has_no_steps(account: Account) -> None:
    """Nothing was deployed, so nothing is lowered."""
    assert not respond(alarm(1), account.guarded).lowered
    account.guarded.rearm()
    assert account.alarm_actions == [ARMED]


@pytest.mark.parametrize("who", ["guard", "me"])
def test_the_monitor_stays_blind_to_a_lowering_in_flight_whoever_began_it(account: Account, who: str) -> None:
    """An operator's `off`, or the guard's, under an alarm that still rings would be rolled back."""
    account.deploy(on(25), 0)
    account.deploy(OFF, 20, strategy="AppConfig.AllAtOnce", description=f"{who}: off")
    account.guarded.rearm()
    assert account.alarm_actions == []
    account.clock.minutes = 40
    account.guarded.rearm()
    assert account.alarm_actions == [ARMED]


def test_the_monitor_watches_a_rise_in_flight(account: Account) -> None:
    """A rise is what it is there for."""
    account.deploy(on(5), 0)
    account.deploy(on(25), 20, strategy="AppConfig.AllAtOnce")
    account.guarded.rearm()
    assert account.alarm_actions == [ARMED]


def test_a_lowering_that_begins_while_the_monitor_is_armed_is_seen(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard looks again after it armed the monitor, and takes it back."""
    account.deploy(on(25), 0)
    enable = account.alarms.enable_alarm_actions

    def too_late(**arguments: Any) -> Any:
        account.deploy(OFF, 20, strategy="AppConfig.AllAtOnce")
        return enable(**arguments)

    monkeypatch.setattr(account.alarms, "enable_alarm_actions", too_late)
    account.guarded.rearm()
    assert account.alarm_actions == [ARMED, BLIND]


def test_what_appconfig_s_monitor_rolled_back_is_answered(account: Account) -> None:
    """The rise that bakes is back where it was, under the alarm that the guard hears as well."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.clock.minutes = 45
    account.ring()
    assert "deployment 3 was undone" in respond(alarm(44), account.guarded).why
    assert account.in_force() == on(5)


def test_the_guard_waits_for_a_rollback_and_its_own_deployment_is_let_be(account: Account) -> None:
    """An alarm about the 5 %, while AppConfig rolls the 25 % back: the guard's deployment follows, and is let be though
    it bakes for longer than the guard waits, and the monitor still rings."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.clock.minutes = 41
    account.ring()
    assert account.guarded.steps().undone[0].document == on(25)
    account.ids["strategy"] = account.appconfig.create_deployment_strategy(
        Name="slow", DeploymentDurationInMinutes=0, FinalBakeTimeInMinutes=1, GrowthFactor=100.0, ReplicateTo="NONE"
    )["Id"]
    slow = GuardedAppConfig(account.appconfig, account.alarms, account.ids, MONITOR)
    assert "handled before" in respond(alarm(39), slow).why
    assert account.in_force() == on(1)
    assert account.alarm_actions == [BLIND, BLIND]
    account.clock.minutes = 50
    slow.rearm()
    assert (account.in_force(), account.alarm_actions[-1]) == (on(1), ARMED)


def test_a_deployment_that_does_not_end_is_reported(account: Account) -> None:
    """With a strategy that bakes, the guard waits so long and no longer, and leaves the monitor blind to it."""
    account.ramp(1, 5)
    seen = account.guarded.steps()
    planned = plan(alarm(21), seen)
    assert not isinstance(planned, str)
    account.ids["strategy"] = "AppConfig.AllAtOnce"
    slow = GuardedAppConfig(account.appconfig, account.alarms, account.ids, MONITOR)
    with pytest.raises(RolloutRefused, match="deployment 3 did not end"):
        slow.lower(planned, seen)
    assert account.alarm_actions == [BLIND, BLIND]
    assert account.in_force() == on(1)


def test_a_guard_whose_time_is_up_begins_nothing(account: Account) -> None:
    """All waits of one event together end before the function does; Lambda delivers it again."""
    account.ramp(1, 5)
    hasty = GuardedAppConfig(account.appconfig, account.alarms, account.ids, MONITOR, patience_s=-1)
    with pytest.raises(RolloutRefused, match="time is up"):
        respond(alarm(21), hasty)
    assert account.in_force() == on(5)
    assert account.alarm_actions == []


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
    account.composite["StateValue"] = state
    answer = handler({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, None)
    assert answer["lowered"] == (state == "ALARM")
    assert account.in_force() == on(percent)
