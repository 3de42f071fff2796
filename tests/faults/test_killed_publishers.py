"""Publishers that are killed between any two of their calls: a reader has the set before, or the new one, whole."""

import signal
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flagrank.adapters.in_memory import InlineExecutor, ManualClock
from flagrank.adapters.s3_factors import S3FactorStore
from flagrank.model.factors import Factors
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.publishing.publish import publish
from tests.adapters.cloud import aws_stand_in, new_bucket
from tests.adapters.loopback import client
from tests.faults import publisher
from tests.offline.conftest import make_files

pytestmark = pytest.mark.slow

POLL_S = 60.0
PATIENCE_S = 60.0
KILLS = 200
EVERY_IN_SHORT = 12
DICE = np.random.default_rng(20261126)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with aws_stand_in() as address:
        yield address


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.publisher"])
    return context


class Bucket:
    """A bucket with one set in force, one to publish, and a reader that is warm all the while."""

    def __init__(self, url: str, folders: dict[str, Path]) -> None:
        self.url, self.folders, self.s3 = url, folders, client("s3", url)
        self.name = new_bucket(self.s3)
        self.in_force, self.next = folders
        publish(folders[self.in_force], self.s3, self.name)
        self._sets = {version: artifact_folder.load(folder) for version, folder in folders.items()}
        self._clock = ManualClock()
        self._warm = S3FactorStore(self.s3, self.name, self._clock, poll_s=POLL_S, executor=InlineExecutor())
        self._warm.current()

    def check(self) -> None:
        """Holds the warm reader and a new one to a whole set; a set that came into force changes places."""
        self._clock.advance(POLL_S)
        # a due check runs at once, on the executor, and the call after it has what it found
        self._warm.current()
        new = S3FactorStore(self.s3, self.name, ManualClock()).current()
        for found in (self._warm.current(), new):
            assert is_same(found, self._sets[found.version])
        assert self._warm.current().version == new.version
        if new.version == self.next:
            self.in_force, self.next = self.next, self.in_force

    def forget_next(self) -> None:
        """Deletes what was sent of the set that is not in force, so that a publisher has all its steps before it."""
        found = self.s3.list_objects_v2(Bucket=self.name, Prefix=f"factors/{self.next}/").get("Contents", [])
        if found:
            self.s3.delete_objects(Bucket=self.name, Delete={"Objects": [{"Key": entry["Key"]} for entry in found]})


def is_same(found: Factors, made: Factors) -> bool:
    return (
        np.array_equal(found.item_factors, made.item_factors)
        and np.array_equal(found.item_ids, made.item_ids)
        and np.array_equal(found.user_factors, made.user_factors)
        and [found.catalog[row] for row in range(len(found.item_ids))]
        == [made.catalog[row] for row in range(len(made.item_ids))]
    )


@pytest.fixture
def bucket(url: str, tmp_path: Path) -> Bucket:
    folders = {}
    for seed in range(2):
        folder = tmp_path / str(seed)
        artifact_folder.save(make_files(seed), folder)
        folders[artifact_folder.read_manifest(folder).version] = folder
    return Bucket(url, folders)


def killed(processes: Any, bucket: Bucket, calls: int | None, after_s: float | None = None) -> int | None:
    """Lets a publisher run until it dies, or kills it after so long; gives its exit code."""
    process = processes.Process(
        target=publisher.run, args=(bucket.folders[bucket.next], bucket.url, bucket.name, calls)
    )
    process.start()
    process.join(PATIENCE_S if after_s is None else after_s)
    process.kill()
    process.join()
    code: int | None = process.exitcode
    process.close()
    return code


@pytest.mark.timeout(1800)
def test_a_killed_publisher_leaves_a_whole_set_in_force(
    bucket: Bucket, processes: ForkServerContext, full: bool
) -> None:
    """Before each of its calls, the pointer's too, and after the last one: 200 times with `--full`."""
    steps = publisher.count_calls(bucket.folders[bucket.next], bucket.url, bucket.name)
    bucket.check()
    last = [steps - 1, steps]
    moments = (
        [moment % (steps + 1) for moment in range(KILLS)] if full else [*range(0, steps - 1, EVERY_IN_SHORT), *last]
    )
    moved = 0
    for moment in moments:
        bucket.forget_next()
        target = bucket.next
        assert killed(processes, bucket, moment) == -signal.SIGKILL
        bucket.check()
        moved += bucket.in_force == target
        assert (bucket.in_force == target) == (moment == steps)
    assert moved == moments.count(steps)


@pytest.mark.timeout(1800)
def test_a_publisher_killed_at_any_time_leaves_a_whole_set_in_force(
    bucket: Bucket, processes: ForkServerContext, full: bool
) -> None:
    """In the midst of a call as well; and the next publisher is in nobody's way."""
    began_s = time.monotonic()
    assert killed(processes, bucket, None) == 0
    whole_s = time.monotonic() - began_s
    bucket.check()
    for _ in range(KILLS if full else 2):
        bucket.forget_next()
        killed(processes, bucket, None, after_s=float(DICE.uniform(0.1, 1.0)) * whole_s)
        bucket.check()
    bucket.forget_next()
    target = bucket.next
    assert killed(processes, bucket, None) == 0
    bucket.check()
    assert bucket.in_force == target
