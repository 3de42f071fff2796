"""Worker processes that share the cores: the same results, in the same order, for any number of them."""

import itertools
import multiprocessing
import os
import pickle
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from threadpoolctl import threadpool_limits


class Workers:
    """Runs a function of a shared state and a task for many tasks, in `processes` processes; 1 needs none.

    A context manager. The processes start with the first work and end with the block; they import the function by name,
    so it belongs to a module. Each runs BLAS on one thread, since the processes fill the cores.
    """

    def __init__(self, processes: int = 1) -> None:
        self.processes = processes
        self._pool: ProcessPoolExecutor | None = None
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def map[State, Task, Result](
        self, function: Callable[[State, Task], Result], state: State, tasks: Iterable[Task]
    ) -> Iterator[Result]:
        """The function's results, in the order of the tasks; the state is pickled once and read once a process."""
        if self.processes == 1:
            with threadpool_limits(1, "blas"):
                for task in tasks:
                    yield function(state, task)
            return
        if self._pool is None:
            # forked processes would inherit the locks of OpenMP's threads, and hang
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.processes, context, _start)
        with tempfile.TemporaryDirectory(prefix="flagrank-") as folder:
            path = Path(folder) / f"state-{os.getpid()}-{next(self._numbers)}"
            with path.open("wb") as file:
                pickle.dump((function, state), file, pickle.HIGHEST_PROTOCOL)
            yield from self._pool.map(_run, itertools.repeat(str(path)), tasks)


_loaded: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {}


def _start() -> None:
    threadpool_limits(1, "blas")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # a parent that was killed closes no queue and deletes no file, and its workers would wait on it forever
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    for path in _loaded:
        shutil.rmtree(Path(path).parent, ignore_errors=True)
    os._exit(1)


def _run(path: str, task: Any) -> Any:
    if path not in _loaded:
        _loaded.clear()
        with Path(path).open("rb") as file:
            _loaded[path] = pickle.load(file)  # noqa: S301 - written by the parent a moment ago
    function, state = _loaded[path]
    return function(state, task)
