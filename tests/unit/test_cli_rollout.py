"""`flagrank rollout` at its edge: arguments, words and exit codes, over a control plane in memory."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flagrank.adapters.appconfig_control import DeployedFlag, Deployment
from flagrank.cli import main
from flagrank.cli.target import Target, with_default_port
from flagrank.errors import RolloutRefused
from flagrank.rollout import FlagDocument


@dataclass
class ControlInMemory:
    """One flag that deploys at once; `busy` is the state of a deployment in flight."""

    document: FlagDocument | None
    busy: str | None = None
    said: list[tuple[str, str]] = field(default_factory=list)

    def deployed(self) -> DeployedFlag:
        if self.document is None:
            return DeployedFlag(None, None, None)
        standing = self._deployment("COMPLETE")
        return DeployedFlag(self.document, standing, self._deployment(self.busy) if self.busy else standing)

    def deploy(self, document: FlagDocument, *, actor: str, reason: str, stop_in_flight: bool = False) -> Deployment:
        if self.busy and not stop_in_flight:
            raise RolloutRefused(f"deployment 1 is {self.busy}: somebody: percent 50")
        self.document, self.busy = document, None
        self.said.append((actor, reason))
        return self._deployment("COMPLETE")

    def _deployment(self, state: str) -> Deployment:
        return Deployment(1 + len(self.said), "1", f"v{1 + len(self.said)}", state, "me: test", "2026-01-01T00:00:00")


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> ControlInMemory:
    made = ControlInMemory(FlagDocument(enabled=True, percent=5))
    monkeypatch.setattr(Target, "control", lambda self: made)
    monkeypatch.setenv("USER", "night-shift")
    return made


def flagrank(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `flagrank rollout ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["flagrank", "rollout", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_percent_changes_the_share_and_nothing_else(control: ControlInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who and why are recorded with the change."""
    before = control.document
    assert flagrank(monkeypatch, "percent", "12.5", "--reason", "looks good") == 0
    assert before is not None
    assert control.document == before.model_copy(update={"percent": 12.5})
    assert control.said == [("night-shift", "percent 12.5 (looks good)")]


@pytest.mark.parametrize(("command", "enabled"), [("off", False), ("on", True)])
def test_on_and_off_flip_the_switch(
    control: ControlInMemory, monkeypatch: pytest.MonkeyPatch, command: str, enabled: bool
) -> None:
    """The share stays as it is for the way back."""
    control.document = FlagDocument(enabled=not enabled, percent=5)
    assert flagrank(monkeypatch, command, "--actor", "me") == 0
    assert control.document == FlagDocument(enabled=enabled, percent=5)


def test_off_works_while_another_deployment_is_in_flight(
    control: ControlInMemory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A percentage has to wait, and says for what; the kill switch has not."""
    control.busy = "BAKING"
    assert flagrank(monkeypatch, "percent", "50") == 1
    assert "percent 50" in capsys.readouterr().err
    assert flagrank(monkeypatch, "off") == 0
    assert control.document == FlagDocument(enabled=False, percent=5)


def test_status_tells_people_and_programs_the_same(
    control: ControlInMemory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in force, what is in flight, and how long a change takes at most."""
    control.busy = "DEPLOYING"
    assert flagrank(monkeypatch, "status") == 0
    words = capsys.readouterr().out
    assert all(part in words for part in ("5 % treated", "DEPLOYING", "15 s"))
    assert flagrank(monkeypatch, "status", "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["document"]["percent"], told["version"], told["worst_case_flip_s"]) == (5.0, "v1", 15)


def test_an_empty_environment_is_told_how_to_begin(
    control: ControlInMemory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a document nothing can be changed; `init` makes the first one, once."""
    control.document = None
    assert flagrank(monkeypatch, "status") == 0
    assert "nothing is deployed" in capsys.readouterr().out
    assert flagrank(monkeypatch, "percent", "5") == 1
    assert "rollout init" in capsys.readouterr().err
    assert flagrank(monkeypatch, "init") == 0
    assert control.document == FlagDocument()
    assert flagrank(monkeypatch, "init") == 1


def test_init_reads_a_document(
    control: ControlInMemory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A valid file is deployed; a missing or invalid one is exit code 2, and nothing is sent."""
    control.document = None
    file = tmp_path / "flag.json"
    file.write_text('{"percent": 101}')
    assert flagrank(monkeypatch, "init", "--document", str(file)) == 2
    assert flagrank(monkeypatch, "init", "--document", str(tmp_path / "none.json")) == 2
    assert control.said == []
    file.write_text('{"alpha": 0.25}')
    assert flagrank(monkeypatch, "init", "--document", str(file)) == 0
    assert control.document == FlagDocument(alpha=0.25)
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "filled"),
    [
        (["status", "--local"], ["status", "--local=8080"]),
        (["status", "--local", "9000"], ["status", "--local", "9000"]),
        (["status", "--local=9000"], ["status", "--local=9000"]),
        (["percent", "--local", "5"], ["percent", "--local=8080", "5"]),
        (["percent", "5", "--local", "--json"], ["percent", "5", "--local=8080", "--json"]),
    ],
)
def test_local_needs_no_port(arguments: list[str], filled: list[str]) -> None:
    """A bare `--local` means 8080, and a number that can be no port is left to the command."""
    assert with_default_port(arguments) == filled
