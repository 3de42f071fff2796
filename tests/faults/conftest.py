"""Sets to change between, and clouds that misbehave."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flagrank.flags.document import FlagDocument
from flagrank.local.cloud import LOCAL_FLAG
from flagrank.model.encoding import encode
from flagrank.offline.data import synthetic
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.training.als import AlsParameters, train
from tests.faults.cloud import FaultyCloud

BUDGET_MS = 300
STRICT = LOCAL_FLAG.model_copy(update={"percent": 100.0, "request_budget_ms": BUDGET_MS, "call_budget_ms": 150})
HEALTHY_LLM = {"malformed": 0.0, "latency_ms": 2.0}
# a change has to arrive within seconds, or a row would take a minute
POLLS = {"FLAGRANK_FACTORS_POLL_S": "1"}


@pytest.fixture(scope="session")
def two_sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The synthetic catalogue, trained for as long as it takes to have two versions."""
    folders = []
    for iterations in (1, 2):
        parameters = AlsParameters(iterations=iterations)
        files = encode(
            train(synthetic.generate(), parameters),
            created="2026-01-01T00:00:00+00:00",
            training=parameters.recorded(),
        )
        folders.append(tmp_path_factory.mktemp("sets") / str(iterations))
        artifact_folder.save(files, folders[-1])
    return folders[0], folders[1]


@contextmanager
def faulty_cloud(
    sets: tuple[Path, Path], folder: Path, flag: FlagDocument = STRICT, **options: Any
) -> Iterator[FaultyCloud]:
    """A running cloud over the first of two sets, whose notes lie in a folder of its own."""
    given = {"behaviour": HEALTHY_LLM, "flag_poll_s": 1, **options}
    given["settings"] = {**POLLS, **options.get("settings", {})}
    with FaultyCloud(sets[0], flag, folder, **given) as cloud:
        yield cloud
