"""Checks the users of a set that are not in memory, some of them at a time."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from flagrank.model.factors import Factors
from flagrank.model.users import Place
from flagrank.model.validation import validate_blocks
from flagrank.offline.training.progress import Progress, silent

RUN_BYTES = 8 * 1024 * 1024
# so much is in memory at once: four runs
READS_AT_ONCE = 4
NO_HURRY_MS = 600_000.0

# so many bytes of the users' file from a place on
type ReadPart = Callable[[int, int], bytes]


def check_users(factors: Factors, read: ReadPart, progress: Progress) -> None:
    """Checks every block of users, reading several megabytes at once; raises ArtifactError and what `read` raises."""
    if factors.user_index is None:
        return
    total = int(factors.user_index.starts[-1])
    if total <= RUN_BYTES:
        # done at once
        progress = silent
    runs = factors.user_index.runs(RUN_BYTES)
    validate_blocks(factors, _blocks(runs, read, lambda done: progress("checking users, bytes", done, total)))


def _blocks(runs: Iterator[list[Place]], read: ReadPart, tell: Callable[[int], None]) -> Iterator[memoryview]:
    with ThreadPoolExecutor(READS_AT_ONCE, "users") as threads:
        ahead: deque[tuple[list[Place], Future[bytes]]] = deque()
        for run in runs:
            ahead.append((run, threads.submit(read, run[0].start, _end(run) - run[0].start)))
            if len(ahead) == READS_AT_ONCE:
                yield from _cut(*ahead.popleft(), tell)
        while ahead:
            yield from _cut(*ahead.popleft(), tell)


def _cut(run: list[Place], reading: Future[bytes], tell: Callable[[int], None]) -> Iterator[memoryview]:
    data = memoryview(reading.result())
    for place in run:
        yield data[place.start - run[0].start :][: place.size]
    tell(_end(run))


def _end(run: list[Place]) -> int:
    return run[-1].start + run[-1].size
