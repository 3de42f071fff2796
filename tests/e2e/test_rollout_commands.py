"""`flagrank rollout` against the local cloud: an operator's way, end to end."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from flagrank.local.cloud import LOCAL_FLAG, LocalCloud
from tests.e2e.conftest import COMMAND, StartCloud, command

POLL_S = 1
# alpha 1 decides the arms and asks no LLM
ARMS_ONLY = LOCAL_FLAG.model_copy(update={"percent": 0.0, "alpha": 1.0})


def rollout(cloud: LocalCloud, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and standard error of a command."""
    done = subprocess.run(command(cloud, *arguments), capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def arms(cloud: LocalCloud, users: int = 60) -> list[str]:
    """The arms of the first users, asked for at once, so that every environment answers some."""
    with httpx.Client(base_url=cloud.url, timeout=30) as client, ThreadPoolExecutor(6) as threads:
        answers = threads.map(lambda user: client.get("/recommend", params={"user_id": user}), range(1, users + 1))
        return [answer.raise_for_status().json()["arm"] for answer in answers]


def arms_after_a_flip(cloud: LocalCloud, awaited: str) -> set[str]:
    """The arms once all are as awaited, at the latest after the poll interval."""
    flipped_by = time.monotonic() + POLL_S + 1
    while set(arms(cloud)) != {awaited} and time.monotonic() < flipped_by:
        time.sleep(0.2)
    return set(arms(cloud))


def test_an_operator_ramps_and_kills(start_cloud: StartCloud) -> None:
    """A change reaches every environment within the poll interval, and none of the requests on the way fails."""
    cloud = start_cloud(ARMS_ONLY, environments=3, flag_poll_s=POLL_S)
    assert set(arms(cloud)) == {"control"}
    code, said, _ = rollout(cloud, "percent", "100", "--reason", "test")
    assert (code, said["changed"], said["version"]) == (0, True, "v2")
    assert arms_after_a_flip(cloud, "treatment") == {"treatment"}
    assert rollout(cloud, "off")[0] == 0
    assert arms_after_a_flip(cloud, "control") == {"control"}
    code, said, _ = rollout(cloud, "status")
    assert (code, said["document"]["enabled"], said["document"]["percent"]) == (0, False, 100.0)
    assert "off" in said["change"]


def test_a_rise_is_watched_and_a_rollback_need_not_wait(start_cloud: StartCloud) -> None:
    """Another rise is refused with what bakes; a rollback goes back at once, and never up."""
    # the bake must last longer than three commands, however busy the machine is
    cloud = start_cloud(
        ARMS_ONLY.model_copy(update={"percent": 5.0}), environments=1, flag_poll_s=POLL_S, minute_s=60.0
    )
    code, said, _ = rollout(cloud, "percent", "50", "--reason", "hängt\num 3 Uhr")
    assert (code, said["state"], said["before"], said["after"]) == (0, "BAKING", 5.0, 50.0)
    code, said, _ = rollout(cloud, "percent", "60")
    assert (code, "percent 50 (hängt um 3 Uhr)" in said["error"], said["exit"]) == (3, True, 3)
    code, said, _ = rollout(cloud, "rollback")
    assert (code, said["before"], said["after"]) == (0, 50.0, 5.0)
    assert rollout(cloud, "off")[0] == 0
    code, said, _ = rollout(cloud, "rollback")
    assert (code, "baseline already" in said["error"]) == (3, True)


def test_what_is_so_already_is_not_deployed_again(cloud: LocalCloud) -> None:
    """A change that changes nothing says so and succeeds."""
    code, said, _ = rollout(cloud, "on")
    assert (code, said["changed"]) == (0, False)


def test_a_document_that_would_be_invalid_is_refused_before_anything_is_sent(cloud: LocalCloud) -> None:
    """More than two decimals: exit code 2 and the reason, and the flag is as it was."""
    before = rollout(cloud, "status")[1]
    code, _, said = rollout(cloud, "percent", "0.001")
    assert (code, "two decimals" in said) == (2, True)
    assert rollout(cloud, "percent", "101")[0] == 2
    after = rollout(cloud, "status")[1]
    assert {**after, "figures": None} == {**before, "figures": None}


def test_a_port_that_nobody_serves_is_one_clear_line() -> None:
    """The line says how to start a local cloud there."""
    told = [sys.executable, "-c", COMMAND, "rollout", "status", "--local", "1999"]
    done = subprocess.run(told, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "flagrank local --port 1999" in done.stderr
