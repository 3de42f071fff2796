"""The command as a whole: what it imports, its version, and how it ends."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from flagrank.cli import app as application
from flagrank.cli import rollout
from flagrank.cli.app import main
from flagrank.cli.aws_hints import hint
from flagrank.cli.commands import ROLLOUT, TOP
from flagrank.cli.exit_codes import ExitCode, exit_code
from flagrank.cli.lazy import Place, loaded
from flagrank.cli.step_lines import StepLines, duration
from flagrank.errors import CloudError, ConfigurationError, DataError, FlagrankError, PublishConflict, RolloutRefused

type Flagrank = Callable[..., tuple[int, str, str]]

SLOW_TO_IMPORT = ("numpy", "scipy", "implicit", "lightgbm", "duckdb", "boto3", "botocore", "uvicorn", "moto", "httpx")


@pytest.fixture
def flagrank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Flagrank:
    """Runs the command in an empty folder; gives its exit code and what it wrote to both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flagrank", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["rollout", "--help"], ["train", "--help"], ["publish", "--help"]]
)
def test_a_command_that_only_tells_imports_nothing_slow(arguments: list[str]) -> None:
    """Whoever asks for help should not wait for numpy and the AWS SDK."""
    code = (
        "import sys\nfrom flagrank.cli.app import main\n"
        f"sys.argv = ['flagrank', *{arguments!r}]\n"
        f"try:\n    main()\nfinally:\n    print([name for name in {SLOW_TO_IMPORT!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("name", "place"), [*TOP.items(), *ROLLOUT.items()])
def test_the_list_of_commands_says_what_each_says_itself(name: str, place: Place) -> None:
    """The first line of the help is written twice, and is the same."""
    assert (loaded(name, place).help or "").split("\n")[0] == place.help


def test_no_command_of_the_rollout_is_missing_in_the_list() -> None:
    """A command that is registered and not listed could not be called."""
    registered = {
        command.name or command.callback.__name__ for command in rollout.app.registered_commands if command.callback
    }
    assert registered <= ROLLOUT.keys()


def test_the_version_is_said(flagrank: Flagrank) -> None:
    """One line, and nothing else happens."""
    assert flagrank("--version") == (0, "flagrank 0.1.0\n", "")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["train", "--nonsense"], "No such option: --nonsense"),
        (["train"], "Invalid value for '--out': is missing"),
        (["train", "--out", "set", "--factors", "0"], "Invalid value for '--factors'"),
        (["rollout", "percent", "many"], "Invalid value for"),
        (["publish"], "Missing argument 'folder'."),
    ],
)
def test_an_error_of_the_parser_honours_json(flagrank: Flagrank, arguments: list[str], error: str) -> None:
    """A script reads one document on standard output, whatever was wrong."""
    code, out, err = flagrank(*arguments, "--json")
    document = json.loads(out)
    assert (code, document["exit"]) == (2, 2)
    assert error in document["error"]
    assert "Usage: " in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("a.csv", 1, "wrong"), ExitCode.USAGE),
        (ConfigurationError("wrong"), ExitCode.USAGE),
        (RolloutRefused("no"), ExitCode.REFUSED),
        (PublishConflict("late"), ExitCode.OVERTAKEN),
        (CloudError("down"), ExitCode.FAILED),
    ],
)
def test_each_kind_of_failure_has_its_code(
    flagrank: Flagrank, monkeypatch: pytest.MonkeyPatch, error: FlagrankError, code: int
) -> None:
    """Scripts tell them apart."""

    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(application, "app", fail)
    ended, out, _ = flagrank("rollout", "status", "--json")
    assert (ended, json.loads(out)) == (code, {"error": str(error), "exit": code})
    assert exit_code(error) == code


def test_an_interruption_has_the_shell_s_code(flagrank: Flagrank, monkeypatch: pytest.MonkeyPatch) -> None:
    """130, as any program that Ctrl-C ends."""

    def interrupt(*arguments: object, **options: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(application, "app", interrupt)
    assert flagrank("rollout", "watch")[0] == ExitCode.INTERRUPTED


def caused(cause: Exception) -> CloudError:
    """A CloudError as `aws_errors` makes it."""
    error = CloudError("AWS")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "name"),
    [
        (NoRegionError(), "set AWS_REGION"),
        (NoCredentialsError(), "set AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="http://x"), "check AWS_REGION"),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "GetObject"), "sign in again"),
    ],
)
def test_a_failure_of_aws_says_what_to_set(cause: Exception, name: str) -> None:
    """And that there is a local cloud."""
    found = hint(caused(cause))
    assert found is not None
    assert name in found
    assert "--local" in found


def test_a_failure_that_no_setting_mends_gets_no_advice() -> None:
    """AWS's own words are enough."""
    assert hint(caused(ClientError({"Error": {"Code": "NoSuchBucket"}}, "PutObject"))) is None


def test_a_step_without_a_terminal_has_its_lines() -> None:
    """One when it begins, one in a while with an estimate, and one at its end."""
    lines = StepLines("training ALS")
    said = [
        lines.line(done, 10, second)
        for done, second in [(1, 0.0), (2, 5.0), (4, 20.0), (5, 25.0), (10, 50.0), (10, 51.0)]
    ]
    assert said == [
        "training ALS: 1 of 10",
        None,
        "training ALS: 4 of 10, about 30 s left",
        None,
        "training ALS: 10 of 10, 50 s",
        None,
    ]


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (120, "2 min"), (7200, "2.0 h")])
def test_a_duration_is_said_as_people_say_it(seconds: float, words: str) -> None:
    """In the unit that fits."""
    assert duration(seconds) == words
