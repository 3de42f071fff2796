"""SnapStart: what a snapshot holds is true of every environment that is restored from it, whenever that is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flagrank.delivery.change_record import ChangeRecord
from flagrank.flags.document import FlagDocument
from flagrank.local.cloud import REPOSITORY, LocalCloud
from tests.e2e.conftest import PATIENT, synthetic_artifacts

__all__ = ["synthetic_artifacts"]

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts a process's sockets in /proc")


@pytest.fixture(scope="module")
def documents(synthetic_artifacts: Path) -> list[dict[str, Any]]:
    """What the snapshot printed, then two restored environments, restored after the flag had changed."""
    before = PATIENT.model_copy(update={"percent": 0.0})
    with LocalCloud(synthetic_artifacts, before, environments=1) as cloud:
        environment = {**os.environ, **cloud.variables, "AWS_EC2_METADATA_DISABLED": "true"}
        snapshot = subprocess.Popen(
            [sys.executable, "-m", "tests.local.snapshot"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert snapshot.stdout is not None
        first = snapshot.stdout.readline()
        cloud.flag_control().deploy(FlagDocument(enabled=False), ChangeRecord("test", "off"))
        rest, _ = snapshot.communicate("\n", timeout=60)
    found = [json.loads(line) for line in [first, *rest.splitlines()]]
    # each restored environment prints its metrics as well
    return [document for document in found if "_aws" not in document]


def test_no_socket_is_in_the_snapshot(documents: list[dict[str, Any]]) -> None:
    """A connection of before is dead after the restore, and the first request would find that out."""
    assert documents[0] == {"sockets": 0}


def test_a_restored_environment_answers_under_the_flag_of_now(documents: list[dict[str, Any]]) -> None:
    """It begins a session of its own, without a token of the snapshot's, and long before the next poll was due."""
    assert [document["reason"] for document in documents[1:]] == ["disabled", "disabled"]
    assert all(len(document["top_items"]) == 5 for document in documents[1:])


def test_restored_environments_do_not_draw_alike(documents: list[dict[str, Any]]) -> None:
    """Or all of them would retry at the same moment."""
    first, second = documents[1:]
    assert first["drawn"] != second["drawn"]
