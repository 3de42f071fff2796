"""`flagrank rollout` from its arguments to its output and exit codes, over a control plane in memory."""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.control.in_memory_lease import InMemoryLeases
from flagrank.adapters.in_memory import ManualClock
from flagrank.adapters.system_clock import SystemClock
from flagrank.cli.app import main
from flagrank.cli.local_option import with_default_port
from flagrank.cli.target import Target
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import Deployment
from flagrank.flags.document import FlagDocument
from flagrank.local.observed import Observed


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> InMemoryControl:
    made = InMemoryControl(ManualClock(), FlagDocument(enabled=True, percent=5))
    use(monkeypatch, made)
    return made


def use(monkeypatch: pytest.MonkeyPatch, control: InMemoryControl) -> None:
    """Has every command work on this flag, which has had no traffic."""
    monkeypatch.setattr(Target, "control", lambda self: control)
    monkeypatch.setattr(Target, "figures", lambda self: Observed())
    monkeypatch.setattr(Target, "firing_alarm", lambda self: None)
    leases = InMemoryLeases(SystemClock())
    monkeypatch.setattr(Target, "leases", lambda self: leases)
    monkeypatch.setattr(Target, "propagation_s", 15.0)
    monkeypatch.setattr(Target, "dashboard", lambda self: "https://cloudwatch.example/")
    monkeypatch.setenv("USER", "night-shift")


def flagrank(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `flagrank rollout ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["flagrank", "rollout", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def in_force(control: InMemoryControl) -> FlagDocument:
    """The document in force, which can be read."""
    document = control.deployed().document
    assert document is not None
    return document


def record(control: InMemoryControl) -> str:
    """The record of the newest change, as a line."""
    return control.history(1)[0].record.render()


def test_percent_changes_the_share_and_nothing_else(control: InMemoryControl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who and why are recorded with the change."""
    assert flagrank(monkeypatch, "percent", "12.5", "--reason", "looks good") == 0
    assert in_force(control) == FlagDocument(enabled=True, percent=12.5)
    assert record(control) == "night-shift: percent 12.5 (looks good)"


@pytest.mark.parametrize(("command", "enabled"), [("off", False), ("on", True)])
def test_on_and_off_flip_the_switch(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, command: str, enabled: bool
) -> None:
    """The percentage stays as it is."""
    control.deploy(FlagDocument(enabled=not enabled, percent=5), ChangeRecord("me", "test"))
    assert flagrank(monkeypatch, command, "--actor", "me") == 0
    assert in_force(control) == FlagDocument(enabled=enabled, percent=5)


def test_off_works_while_another_deployment_is_in_flight(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A percentage is refused with what it has to wait for; the kill switch is not."""
    assert flagrank(monkeypatch, "percent", "25") == 0
    control.become("BAKING")
    assert flagrank(monkeypatch, "percent", "50") == 3
    assert "percent 25" in capsys.readouterr().err
    assert flagrank(monkeypatch, "off") == 0
    assert in_force(control) == FlagDocument(enabled=False, percent=25)
    assert control.history(2)[1].state == "ROLLED_BACK"


def test_status_shows_people_and_programs_the_same(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in force, what is in flight, and how long a change takes at most."""
    control.become("DEPLOYING")
    assert flagrank(monkeypatch, "status") == 0
    words = capsys.readouterr().out
    assert all(part in words for part in ("5 % treated", "DEPLOYING", "15 s", "cloudwatch.example", "runbook.md"))
    assert flagrank(monkeypatch, "status", "--json") == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (shown["document"]["percent"], shown["version"], shown["worst_case_flip_s"]) == (5.0, "v1", 15)


def test_in_an_empty_environment_commands_say_how_to_begin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a document nothing can be changed. `init` deploys the first one, once."""
    control = InMemoryControl(ManualClock())
    use(monkeypatch, control)
    assert flagrank(monkeypatch, "status") == 0
    assert "nothing is deployed" in capsys.readouterr().out
    assert flagrank(monkeypatch, "percent", "5") == 3
    assert "rollout init" in capsys.readouterr().err
    assert flagrank(monkeypatch, "init") == 0
    assert in_force(control) == FlagDocument()
    assert flagrank(monkeypatch, "init") == 3


def test_init_reads_a_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A valid file is deployed. A missing or invalid one is exit code 2, and nothing is deployed."""
    control = InMemoryControl(ManualClock())
    use(monkeypatch, control)
    file = tmp_path / "flag.json"
    file.write_text('{"percent": 101}')
    assert flagrank(monkeypatch, "init", "--document", str(file)) == 2
    assert flagrank(monkeypatch, "init", "--document", str(tmp_path / "none.json")) == 2
    assert control.history(1) == []
    file.write_text('{"alpha": 0.25}')
    assert flagrank(monkeypatch, "init", "--document", str(file)) == 0
    assert in_force(control) == FlagDocument(alpha=0.25)
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize("command", [["percent", "50"], ["off"], ["rollback"], ["ramp", "10,50"]])
def test_a_plan_changes_nothing(
    control: InMemoryControl,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    """--dry-run shows what would be done, to people and to programs, and leaves the flag as it is."""
    control.deploy(FlagDocument(enabled=True, percent=8), ChangeRecord("me", "percent 8"))
    assert flagrank(monkeypatch, *command, "--dry-run") == 0
    assert capsys.readouterr().out.strip() != ""
    assert flagrank(monkeypatch, *command, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["changed"], bool(told["plan"])) == (False, True)
    assert record(control) == "me: percent 8"


def test_a_rollback_goes_back_and_says_why(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the version before, even while the newest is in flight. At the beginning the refusal says what helps."""
    control.deploy(FlagDocument(enabled=True, percent=25), ChangeRecord("me", "percent 25"))
    control.become("BAKING")
    assert flagrank(monkeypatch, "rollback", "--reason", "slow") == 0
    assert in_force(control).percent == 5
    assert record(control) == "night-shift: rollback to v1 (slow)"
    assert flagrank(monkeypatch, "rollback") == 3
    assert "rollout off" in capsys.readouterr().err


def test_every_change_says_who_is_treated_before_and_after(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In percent of the users. Switching on says how many are treated at once."""
    for arguments, told in (
        (["percent", "50"], "percent 50, 5 % -> 50 %: v2 is deployed"),
        (["rollback"], "rollback to v1, 50 % -> 5 %: v1 is deployed"),
        (["percent", "80"], "percent 80, 5 % -> 80 %: v3"),
        (["off"], "off, 80 % -> off: v4"),
        (["percent", "70"], "percent 70, still off, 70 % once it is on: v5"),
        (["on"], "on, off -> 70 % of the users at once: v6"),
    ):
        assert flagrank(monkeypatch, *arguments) == 0
        assert told in capsys.readouterr().out
    assert flagrank(monkeypatch, "percent", "7", "--json") == 0
    told_programs = json.loads(capsys.readouterr().out)
    assert (told_programs["before"], told_programs["after"]) == (70.0, 7.0)


def test_what_lowers_exposure_goes_through_while_a_rise_bakes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rise says for how long it is watched, and the refusal of another one how long it has to wait."""
    control = InMemoryControl(SystemClock(), FlagDocument(enabled=True, percent=5), bake_s=300)
    use(monkeypatch, control)
    assert flagrank(monkeypatch, "percent", "50") == 0
    assert "monitors watch it for up to" in capsys.readouterr().out
    assert flagrank(monkeypatch, "percent", "60") == 3
    assert re.search(r"BAKING, for at most (29\d|300) s more: night-shift: percent 50", capsys.readouterr().err)
    assert flagrank(monkeypatch, "percent", "60", "--dry-run") == 3
    assert flagrank(monkeypatch, "percent", "10") == 0
    assert [entry.state for entry in control.history(2)] == ["COMPLETE", "ROLLED_BACK"]


def test_after_off_a_rollback_is_refused_with_what_helps(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After 50 %, 5 % and off no rollback could lower exposure."""
    for arguments in (["percent", "50"], ["percent", "5"], ["off"]):
        assert flagrank(monkeypatch, *arguments) == 0
    capsys.readouterr()
    assert flagrank(monkeypatch, "rollback") == 3
    assert "everyone gets the baseline already: go up with `on` or `ramp`" in capsys.readouterr().err
    assert not in_force(control).enabled


def test_a_start_that_is_not_confirmed_is_reported_as_such(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is neither a failure nor a success."""
    real_deploy = control.deploy

    def slow(*arguments: Any, **options: Any) -> Deployment:
        return replace(real_deploy(*arguments, **options), state="DEPLOYING")

    monkeypatch.setattr(control, "deploy", slow)
    assert flagrank(monkeypatch, "off") == 0
    assert "v2 was started and is not confirmed yet (DEPLOYING)" in capsys.readouterr().out


def unreadable(control: InMemoryControl) -> None:
    """Puts a percentage there by the console that AppConfig's schema lets through, and no environment takes."""
    version = str(control.create_version(b'{"enabled": true, "percent": 12.345}'))
    control.redeploy(version, ChangeRecord("console", ""), since=control.deployed())


@pytest.mark.parametrize(("command", "left"), [("off", False), ("rollback", True)])
def test_what_cannot_be_read_is_reported_and_can_be_replaced(
    control: InMemoryControl,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    left: bool,
) -> None:
    """By the kill switch and by a rollback, each as a plan as well. A change of it is refused with exit code 2."""
    unreadable(control)
    assert flagrank(monkeypatch, "status") == 0
    words = capsys.readouterr().out
    assert all(part in words for part in ("unreadable", "two decimals", "keep the last", "v2 since"))
    assert flagrank(monkeypatch, "status", "--json") == 0
    assert "two decimals" in json.loads(capsys.readouterr().out)["unreadable"]
    for change in (["percent", "5"], ["on"], ["ramp", "5,50", "--dry-run"]):
        assert flagrank(monkeypatch, *change) == 2
        assert "`flagrank rollout off` and `rollback` replace it" in capsys.readouterr().err
    assert flagrank(monkeypatch, "init") == 3
    assert flagrank(monkeypatch, command, "--dry-run") == 0
    assert flagrank(monkeypatch, command) == 0
    assert "unreadable -> " in capsys.readouterr().out
    assert in_force(control) == FlagDocument(enabled=left, percent=5)


@pytest.mark.parametrize("actor", ["guard", " Guard:", ":"])
def test_an_actor_has_a_name_and_is_not_the_guard(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, actor: str
) -> None:
    """Operators and the guard rely on the record."""
    assert flagrank(monkeypatch, "off", "--actor", actor) == 2
    assert len(control.history(9)) == 1


def test_a_failure_is_one_object_for_programs(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message and the exit code. People get the message as one line."""
    assert flagrank(monkeypatch, "percent", "0.001", "--json") == 2
    told = capsys.readouterr()
    assert json.loads(told.out) == {"error": "percent: percent has at most two decimals", "exit": 2}
    assert told.err.strip() == "error: percent: percent has at most two decimals"


@pytest.mark.parametrize(("variable", "value"), [("AWS_REGION", ""), ("AWS_PROFILE", "no-such-profile")])
def test_what_aws_s_clients_lack_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    """No region, or an unknown profile."""
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert flagrank(monkeypatch, "status") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_worst_case_is_what_the_stack_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is asked once. If CloudFormation does not answer, the template's default is assumed, with a note."""
    answers = iter([[{"ParameterKey": "FlagPollSeconds", "ParameterValue": "120"}], None])

    class CloudFormation:
        def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
            parameters = next(answers)
            if parameters is None:
                raise EndpointConnectionError(endpoint_url=StackName)
            return {"Stacks": [{"Parameters": parameters}]}

    monkeypatch.setattr("flagrank.adapters.aws_clients.operator_client", lambda service: CloudFormation())
    slow, silent = Target(stack="slow"), Target(stack="silent")
    assert [slow.propagation_s, slow.propagation_s, silent.propagation_s, silent.propagation_s] == [120, 120, 15, 15]
    assert capsys.readouterr().err.count("FlagPollSeconds") == 1


def test_history_shows_who_when_what_and_why(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest first, and what did not complete is marked. A colon in a name is left out, and forges nothing."""
    assert flagrank(monkeypatch, "percent", "25", "--actor", "a:b", "--reason", "first: look") == 0
    control.become("ROLLED_BACK")
    capsys.readouterr()
    assert flagrank(monkeypatch, "history") == 0
    newest, oldest = capsys.readouterr().out.splitlines()
    assert "v2" in newest
    assert "ab: percent 25 (first: look)" in newest
    assert "ROLLED_BACK" in newest
    assert "test: first document" in oldest
    assert flagrank(monkeypatch, "history", "--json", "--limit", "1") == 0
    (entry,) = json.loads(capsys.readouterr().out)["deployments"]
    assert (entry["actor"], entry["change"], entry["state"]) == ("ab", "percent 25 (first: look)", "ROLLED_BACK")


def test_diff_shows_the_fields_that_differ(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other fields are not shown. A version that does not exist is bad input."""
    control.deploy(FlagDocument(enabled=False, percent=25), ChangeRecord("me", "test"))
    assert flagrank(monkeypatch, "diff", "v1", "v2") == 0
    assert set(capsys.readouterr().out.splitlines()) == {"enabled: True -> False", "percent: 5.0 -> 25.0"}
    assert flagrank(monkeypatch, "diff", "1", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["differences"]["percent"] == [5.0, 25.0]
    assert flagrank(monkeypatch, "diff", "v1", "v9") == 2


def test_watch_reports_to_programs_once(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both arms and the verdict on the step in force."""
    assert flagrank(monkeypatch, "watch", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["treatment"]["requests"], told["control"]["requests"]) == ("hold", 0, 0)


@pytest.mark.parametrize(
    "arguments",
    [["ramp", "5,1"], ["ramp", "a"], ["ramp", "1,5", "--bake", "10"], ["ramp", "1,101"], ["watch", "--every", "x"]],
)
def test_an_impossible_ramp_is_bad_usage(
    control: InMemoryControl, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """Nothing is deployed."""
    assert flagrank(monkeypatch, *arguments) == 2
    assert len(control.history(9)) == 1


@pytest.mark.parametrize(
    ("arguments", "filled"),
    [
        (["status", "--local"], ["status", "--local=8080"]),
        (["status", "--local", "9000"], ["status", "--local", "9000"]),
        (["status", "--local=9000"], ["status", "--local=9000"]),
        (["percent", "--local", "5"], ["percent", "--local=8080", "5"]),
        (["percent", "5", "--local", "--json"], ["percent", "5", "--local=8080", "--json"]),
        (["status", "--local", "9"], ["status", "--local", "9"]),
    ],
)
def test_local_needs_no_port(arguments: list[str], filled: list[str]) -> None:
    """A bare `--local` means 8080. A number that cannot be a port is left to the command."""
    assert with_default_port(arguments) == filled


@pytest.mark.parametrize("arguments", [["status", "--local", "9"], ["percent", "5", "--local=70000"]])
def test_a_number_that_cannot_be_a_port_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """The refusal says which numbers can be."""
    assert flagrank(monkeypatch, *arguments) == 2
    assert "ports are 1024 to 65535" in capsys.readouterr().err
