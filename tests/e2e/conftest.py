"""A local cloud for tests that go through HTTP, real boto3 clients and worker processes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from flagrank.flags.document import FlagDocument
from flagrank.local.cloud import LOCAL_FLAG, LocalCloud
from flagrank.model.encoding import encode
from flagrank.offline.data import synthetic
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.training.als import AlsParameters, train

# generous budgets: what is tested here is behaviour, and the machine may be busy
PATIENT = LOCAL_FLAG.model_copy(update={"percent": 100.0, "request_budget_ms": 4000, "call_budget_ms": 2000})

COMMAND = "import sys; from flagrank.cli.app import main; sys.argv[0] = 'flagrank'; main()"

type StartCloud = Callable[..., LocalCloud]


def command(cloud: LocalCloud, *arguments: str) -> list[str]:
    """`flagrank rollout ARGUMENTS` on this cloud, in JSON."""
    port = cloud.url.rpartition(":")[2]
    return [sys.executable, "-c", COMMAND, "rollout", *arguments, "--local", port, "--json"]


@pytest.fixture(scope="session")
def synthetic_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic catalogue, trained once."""
    parameters = AlsParameters(iterations=8)
    factors = train(synthetic.generate(), parameters)
    folder = tmp_path_factory.mktemp("artifacts") / "synthetic"
    files = encode(factors, created="2026-01-01T00:00:00+00:00", training=parameters.recorded())
    artifact_folder.save(files, folder)
    return folder


@pytest.fixture
def start_cloud(synthetic_artifacts: Path) -> Iterator[StartCloud]:
    """Starts local clouds that end with the test."""
    with ExitStack() as stack:

        def start(flag: FlagDocument = PATIENT, **options: Any) -> LocalCloud:
            return stack.enter_context(LocalCloud(synthetic_artifacts, flag, **options))

        yield start


@pytest.fixture(scope="session")
def cloud(synthetic_artifacts: Path) -> Iterator[LocalCloud]:
    """One local cloud for all tests that leave it as it is: everyone treated, no faults."""
    with LocalCloud(synthetic_artifacts, PATIENT, {"malformed": 0.0, "latency_ms": 2.0}) as running:
        yield running


@pytest.fixture
def http(cloud: LocalCloud) -> Iterator[httpx.Client]:
    """An HTTP client of the shared cloud."""
    with httpx.Client(base_url=cloud.url, timeout=30) as client:
        yield client
