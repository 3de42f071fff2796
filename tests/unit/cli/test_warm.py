"""`flagrank warm`: what it refuses before it asks anybody, and what it prints."""

import json
import sys
from pathlib import Path

import pytest

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.cli.app import main
from flagrank.cli.target import Target
from flagrank.flags.document import FlagDocument


def flagrank_warm(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `flagrank warm ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["flagrank", "warm", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        ((), None, "--users FILE, --active N or --queries FILE"),
        (("--queries", "FILE"), "x" * 257, ":1: a query has at most 256 characters"),
        (("--queries", "FILE"), "\n\n", "holds no line"),
        (("--users", "FILE"), None, "cannot be read"),
        (("--active", "3", "--resume", "arn"), None, "--resume belongs to --batch"),
        (("--active", "3", "--percent", "0"), None, "the flag treats nobody"),
        (("--active", "3"), None, "the flag treats nobody"),
        (("--active", "3", "--percent", "0.001"), None, "percent has at most two decimals"),
    ],
)
def test_bad_usage_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    content: str | None,
    message: str,
) -> None:
    """One line, exit code 2, and nothing is read from anywhere."""
    control = InMemoryControl(ManualClock(), FlagDocument(enabled=False, percent=5))
    monkeypatch.setattr(Target, "control", lambda self: control)
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    assert flagrank_warm(monkeypatch, *given, "--json") == 2
    assert message in json.loads(capsys.readouterr().out)["error"]


def test_a_stack_without_a_flag_has_nobody_to_warm_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how the first document is deployed."""
    monkeypatch.setattr(Target, "control", lambda self: InMemoryControl(ManualClock(), None))
    assert flagrank_warm(monkeypatch, "--active", "3") == 2
    assert "flagrank rollout init" in capsys.readouterr().err
