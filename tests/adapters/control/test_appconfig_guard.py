"""The guard on AppConfig: by ids, with narrow permissions, limited time, and care for AppConfig's own monitor."""

import importlib
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from flagrank.adapters.control.cloudwatch_alarms import firing_since
from flagrank.delivery.alarm import Alarm
from flagrank.delivery.guard import ExposureReduction, plan, respond
from flagrank.errors import CloudError, RolloutRefused
from tests.adapters.control.guard_account import DISABLED, ENABLED, MONITOR, Account
from tests.adapters.loopback import REGION
from tests.packaging.stack_template import RESOURCES
from tests.unit.delivery.guard_story import BEGAN, OFF, alarm, on

type Handler = Callable[[dict[str, Any], None], dict[str, Any]]


def planned(account: Account, minutes: float) -> ExposureReduction:
    """What the guard would do about an alarm of this minute."""
    plan_or_why = plan(alarm(minutes), account.control, account.control.deployed())
    assert not isinstance(plan_or_why, str)
    return plan_or_why


def test_an_alarm_lowers_exposure_and_is_recorded(account: Account) -> None:
    """Actor, alarm, time and both percentages are in deployment and version; the monitor is disabled meanwhile."""
    account.ramp(1, 5, 25)
    account.move_to(46)
    assert respond(alarm(45), account.control).after == 5
    deployed = account.control.deployed()
    assert deployed.document == on(5)
    assert deployed.deployment is not None
    record = "guard: worse in ALARM since 2026-01-01T00:45:00+00:00: 25 % -> 5 %"
    assert deployed.deployment.record.render() == record
    version = account.appconfig.get_hosted_configuration_version(**account.ids.of_profile, VersionNumber=4)
    assert (version["Description"], version["VersionLabel"]) == (record, "v4")
    assert account.alarm_actions == [DISABLED, DISABLED, ENABLED]


def test_a_rise_that_bakes_is_stopped(account: Account) -> None:
    """The environment takes one deployment at a time, so the guard waits until the rise is rolled back."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.move_to(42)
    assert respond(alarm(41), account.control).after == 5
    states = [entry.state for entry in account.control.deployments()]
    assert states == ["COMPLETE", "ROLLED_BACK", "COMPLETE", "COMPLETE"]


def test_a_change_since_the_flag_was_read_leaves_the_monitor_alone(account: Account) -> None:
    """The refusal comes before anything is disabled or stopped."""
    account.ramp(1, 5)
    seen, lowering = account.control.deployed(), planned(account, 21)
    account.deploy(on(1), 22)
    with pytest.raises(RolloutRefused, match="deployment 3 came first"):
        account.control.deploy(lowering.document, lowering.record, urgent=True, since=seen)
    assert account.in_force() == on(1)
    assert account.alarm_actions == []


def test_an_old_version_that_was_deployed_since_is_noticed(account: Account) -> None:
    """That makes no version, but a deployment."""
    account.ramp(1, 5)
    seen, lowering = account.control.deployed(), planned(account, 21)
    account.move_to(22)
    account.appconfig.start_deployment(
        **account.ids.of_environment,
        ConfigurationProfileId=account.ids.profile,
        DeploymentStrategyId=account.strategy,
        ConfigurationVersion="1",
    )
    with pytest.raises(RolloutRefused):
        account.control.deploy(lowering.document, lowering.record, urgent=True, since=seen)
    assert account.in_force() == on(1)
    assert account.alarm_actions == [DISABLED, ENABLED]


def test_a_deployment_that_was_undone_is_known(account: Account) -> None:
    """The alarm that had 25 % rolled back is not answered with the 5 % as well."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.undo(45)
    assert not respond(alarm(44), account.control).lowered
    assert account.in_force() == on(5)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"enabled": true, "percent": 12.345}', "percent: percent has at most two decimals"),
        (
            b'{"enabled": true, "call_budget_ms": 500, "request_budget_ms": 500}',
            "call_budget_ms must be below request_budget_ms",
        ),
        (b'{"enabled": true, "temperature": 1}', "temperature: Extra inputs are not permitted"),
        (b'{"enabled": true, "\xc3\xa9": 1}', "é: Extra inputs are not permitted"),
        (b"no json", "Invalid JSON: expected ident at line 1 column 2"),
    ],
)
def test_what_cannot_be_read_goes_off(account: Account, content: bytes, problem: str) -> None:
    """The newest readable document is in force again, switched off, and the record says what was wrong."""
    account.ramp(1, 5)
    account.deploy(content, 40)
    assert account.in_force() is None
    account.move_to(46)
    response = respond(alarm(45), account.control)
    assert (response.lowered, response.before, response.after) == (True, 100.0, 0.0)
    assert account.in_force() == on(5).model_copy(update={"enabled": False})
    (newest,) = account.control.history(1)
    assert newest.record.render() == f"guard: {alarm(45).key}: off (version v3 is not readable: {problem})"


def test_a_version_that_was_deleted_cannot_be_read(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it deployed is not known to be good, and no failure."""
    account.ramp(1, 25)
    get = account.appconfig.get_hosted_configuration_version

    def without_the_first(**arguments: Any) -> Any:
        number = arguments["VersionNumber"]
        return get(**{**arguments, "VersionNumber": number if number > 1 else 99})

    monkeypatch.setattr(account.appconfig, "get_hosted_configuration_version", without_the_first)
    account.move_to(46)
    assert respond(alarm(45), account.control).after == 0


def test_the_newest_version_is_found_in_any_order(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS names no order, and gives the versions page by page."""
    account.ramp(1, 5, 25)

    def pages(NextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        page = int(NextToken)
        more = {"NextToken": str(page + 1)} if page < 2 else {}
        return {"Items": [{"VersionNumber": (2, 3, 1)[page]}], **more}

    monkeypatch.setattr(account.appconfig, "list_hosted_configuration_versions", pages)
    assert account.control.deployed().latest_version == 3


def test_in_an_empty_environment_nothing_is_lowered(account: Account) -> None:
    """The monitor is enabled all the same."""
    assert not respond(alarm(1), account.control).lowered
    account.control.rearm()
    assert account.alarm_actions == [ENABLED]


@pytest.mark.parametrize("who", ["guard", "me"])
def test_the_monitor_stays_disabled_while_a_lowering_is_in_flight(account: Account, who: str) -> None:
    """Whoever began it: under an alarm that fires it would be rolled back."""
    account.deploy(on(25), 0)
    account.deploy(OFF, 20, strategy="AppConfig.AllAtOnce", description=f"{who}: off")
    account.control.rearm()
    assert account.alarm_actions == []
    account.move_to(40)
    account.control.rearm()
    assert account.alarm_actions == [ENABLED]


def test_the_monitor_watches_a_rise_in_flight(account: Account) -> None:
    """That is what it is there for."""
    account.deploy(on(5), 0)
    account.deploy(on(25), 20, strategy="AppConfig.AllAtOnce")
    account.control.rearm()
    assert account.alarm_actions == [ENABLED]


def test_a_lowering_that_begins_while_the_monitor_is_enabled_is_noticed(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard looks again after it enabled the monitor, and disables it."""
    account.deploy(on(25), 0)
    enable = account.cloudwatch.enable_alarm_actions

    def too_late(**arguments: Any) -> Any:
        account.deploy(OFF, 20, strategy="AppConfig.AllAtOnce")
        return enable(**arguments)

    monkeypatch.setattr(account.cloudwatch, "enable_alarm_actions", too_late)
    account.control.rearm()
    assert account.alarm_actions == [ENABLED, DISABLED]


def test_a_rollback_by_appconfig_s_monitor_answers_the_alarm(account: Account) -> None:
    """The rise that bakes is undone under the alarm that is sent to the guard as well."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.move_to(45)
    account.fire()
    assert "deployment 3 was undone" in respond(alarm(44), account.control).why
    assert account.in_force() == on(5)


def test_the_guard_waits_for_a_rollback_and_its_own_deployment_is_not_undone(account: Account) -> None:
    """An alarm about the 5 % comes while AppConfig rolls the 25 % back. The guard's deployment follows, and stays in
    force though it is still in flight when the guard ends, and the monitor still fires."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.move_to(41)
    account.fire()
    assert account.control.history(1)[0].state == "ROLLING_BACK"
    slow = account.guarded(account.new_strategy(1, 0))
    assert respond(alarm(39), slow).after == 1
    assert (account.in_force(), account.control.history(1)[0].state) == (on(1), "DEPLOYING")
    assert account.alarm_actions == [DISABLED, DISABLED]
    assert not account.is_watched()
    account.move_to(50)
    slow.rearm()
    assert (account.in_force(), account.alarm_actions[-1]) == (on(1), ENABLED)


def test_a_rollback_that_does_not_end_is_a_refusal(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard waits so long and no longer, and Lambda tries again later."""
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.move_to(41)
    began_s = account.clock.now()
    describe = account.appconfig.get_deployment

    def rolling_back(**arguments: Any) -> Any:
        return {**describe(**arguments), **({"State": "ROLLING_BACK"} if arguments["DeploymentNumber"] == 3 else {})}

    monkeypatch.setattr(account.appconfig, "get_deployment", rolling_back)
    with pytest.raises(RolloutRefused, match="deployment 3 is ROLLING_BACK"):
        respond(alarm(39), account.control)
    assert 180 <= account.clock.now() - began_s < 240


def test_a_guard_whose_time_is_over_begins_nothing(account: Account) -> None:
    """All waits of one event together end before the function does, and Lambda sends the event again."""
    account.ramp(1, 5)
    with pytest.raises(RolloutRefused, match="no time is left"):
        respond(alarm(21), account.guarded(account.strategy, total_s=-1))
    assert account.in_force() == on(5)
    assert account.alarm_actions == []


def test_a_deployment_of_another_profile_is_waited_for(account: Account) -> None:
    """It keeps the environment busy, and is not the guard's to stop."""
    account.ramp(1, 5, 25)
    account.move_to(46)
    other = account.appconfig.create_configuration_profile(
        ApplicationId=account.ids.application, Name="other", LocationUri="hosted"
    )["Id"]
    ids = {"ApplicationId": account.ids.application, "ConfigurationProfileId": other}
    account.appconfig.create_hosted_configuration_version(**ids, Content=b"{}", ContentType="application/json")
    account.appconfig.start_deployment(
        **ids,
        EnvironmentId=account.ids.environment,
        DeploymentStrategyId=account.new_strategy(0, 1),
        ConfigurationVersion="1",
    )
    account.move_to(46.5)
    assert respond(alarm(45), account.control).after == 5


def test_a_cloudwatch_that_does_not_answer_is_a_failure(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exposure that was lowered under a monitor which fires might rise again: Lambda tries again instead."""
    account.ramp(1, 5)

    def unreachable(**_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="cloudwatch")

    monkeypatch.setattr(account.cloudwatch, "disable_alarm_actions", unreachable)
    with pytest.raises(CloudError, match="cloudwatch"):
        respond(alarm(21), account.control)
    assert account.in_force() == on(5)


def test_concurrent_alarms_lower_exposure_once(account: Account) -> None:
    """Of eight deliveries of one alarm over real HTTP one deploys, and the others find that."""
    account.ramp(1, 5, 25)
    account.move_to(46)

    def deliver(event: Alarm) -> bool:
        try:
            return respond(event, account.guarded(account.strategy)).lowered
        except RolloutRefused:  # Lambda's next attempt finds that exposure was lowered
            return False

    with ThreadPoolExecutor(8) as threads:
        lowered = list(threads.map(deliver, [alarm(45)] * 8))
    assert sum(lowered) == 1
    assert account.in_force() == on(5)


def test_the_guard_calls_what_its_role_allows(account: Account) -> None:
    """A response with a stop, a look at the alarm, and enabling the monitor."""
    called: set[str] = set()
    for service, client in (("appconfig", account.appconfig), ("cloudwatch", account.cloudwatch)):
        client.meta.events.register(
            f"before-parameter-build.{service}",
            lambda model, service=service, **_: called.add(f"{service}:{model.name}"),
        )
    account.ramp(1, 5)
    account.deploy(on(25), 40, strategy="AppConfig.AllAtOnce")
    account.move_to(42)
    called.clear()
    assert respond(alarm(41), account.control).lowered
    account.control.rearm()
    firing_since(account.cloudwatch, "worse")
    (policy,) = RESOURCES["GuardRole"]["Properties"]["Policies"]
    allowed = re.findall(r"(?:appconfig|cloudwatch):\w+", json.dumps(policy["PolicyDocument"]))
    assert called == set(allowed)


@pytest.fixture
def handler(account: Account, monkeypatch: pytest.MonkeyPatch) -> Handler:
    """The function as Lambda imports it, over the account."""
    variables = {
        "FLAGRANK_APPCONFIG_APPLICATION": account.ids.application,
        "FLAGRANK_APPCONFIG_ENVIRONMENT": account.ids.environment,
        "FLAGRANK_APPCONFIG_PROFILE": account.ids.profile,
        "FLAGRANK_APPCONFIG_STRATEGY": account.strategy,
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
    """The alarm lowers exposure once, and each event leaves one metric line with its outcome."""
    account.ramp(1, 5, 25)
    account.move_to(46)
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
def test_the_lambda_looks_whether_the_alarm_still_fires(
    account: Account, handler: Handler, state: str, percent: float
) -> None:
    """An alarm that keeps firing sends no event, so the schedule's event asks for its state."""
    account.ramp(1, 5, 25)
    account.composite["StateValue"] = state
    answer = handler({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, None)
    assert answer["lowered"] == (state == "ALARM")
    assert account.in_force() == on(percent)
