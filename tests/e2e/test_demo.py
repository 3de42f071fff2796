"""`flagrank demo`: what it promises is what it shows."""

import json
import subprocess
import sys

import pytest

from tests.e2e.conftest import COMMAND


@pytest.mark.slow
@pytest.mark.rollout
def test_the_demo_shows_a_rollback() -> None:
    """The LLM breaks at the second step: the ramp switches off, and no request goes without an answer."""
    command = [sys.executable, "-c", COMMAND, "demo", "rollback", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["ending"], set(said["statuses"])) == ("failed", {"200"})
    assert "75 % failed and is off" in said["sentence"]
    assert "malformed" in said["sentence"]
    assert said["exposed"] > 0
    assert said["fault_to_off_s"] < said["took_s"]
    assert "the LLM breaks now" in done.stderr
