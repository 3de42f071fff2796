"""The judging of tasks one after the other, some at a time, until all are done or going on is of no use."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from flagrank.domain import Usage
from flagrank.errors import BreakerOpen, CacheUnavailable, CostCapReached, RerankError
from flagrank.ports import JudgementTask
from flagrank.rerank.warming import WarmResult
from flagrank.warming.wanted import Tell

# trouble that every further task would meet as well
STOPPING = (CostCapReached, BreakerOpen, CacheUnavailable)
# so many tasks in a row whose calls gave no score say the same, whatever their trouble is
FAILURES_TO_STOP = 10
PASSES = 3


@dataclass(slots=True)
class WarmReport:
    """What became of all tasks, in numbers of texts as in WarmResult, and what they used.

    `latest` holds the newest result of each task that was begun. `stopped_by` is why the rest was not begun.
    """

    latest: dict[JudgementTask, WarmResult] = field(default_factory=dict)
    written: int = 0
    known: int = 0
    usage: Usage = field(default_factory=Usage)
    stopped_by: RerankError | None = None
    _failures: int = 0

    @property
    def missing(self) -> int:
        """How many texts of the tasks that were begun are not judged."""
        return sum(result.missing for result in self.latest.values())

    @property
    def troubles(self) -> Counter[str]:
        """Why texts are missing, by task."""
        return Counter(str(result.trouble.reason) for result in self.latest.values() if result.trouble)

    def take(self, task: JudgementTask, result: WarmResult) -> None:
        """Counts one task's result, and decides whether to go on."""
        if task not in self.latest:
            self.known += result.known
        self.latest[task] = result
        self.written += result.written
        self.usage.add(result.usage)
        is_failure = result.usage.llm_calls and result.missing and not result.written
        self._failures = self._failures + 1 if is_failure else 0
        if isinstance(result.trouble, STOPPING) or self._failures >= FAILURES_TO_STOP:
            self.stopped_by = self.stopped_by or result.trouble


def warm_all(
    tasks: Sequence[JudgementTask], warm: Callable[[JudgementTask], WarmResult], at_once: int, tell: Tell
) -> WarmReport:
    """Judges the tasks in order, so many at once; after trouble that will not pass no further one is begun.

    Tasks of which texts are missing are judged again once all were judged: a model that answers badly now and then is
    likely to answer well the next time.
    """
    report = WarmReport()
    with ThreadPoolExecutor(at_once, "warm") as threads:
        waiting = list(tasks)
        for _ in range(PASSES):
            _warm_once(report, waiting, lambda task: threads.submit(warm, task), at_once, tell)
            waiting = [task for task in tasks if task in report.latest and report.latest[task].missing]
            if not waiting or report.stopped_by is not None:
                break
    return report


def _warm_once(
    report: WarmReport,
    tasks: Sequence[JudgementTask],
    submit: Callable[[JudgementTask], Future[WarmResult]],
    at_once: int,
    tell: Tell,
) -> None:
    running: dict[Future[WarmResult], JudgementTask] = {}
    waiting, done = list(reversed(tasks)), 0
    while running or (waiting and report.stopped_by is None):
        while waiting and len(running) < at_once and report.stopped_by is None:
            task = waiting.pop()
            running[submit(task)] = task
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            report.take(running.pop(future), future.result())
            done += 1
            tell(done, len(tasks))
