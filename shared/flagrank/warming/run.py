"""The judging of tasks one after the other, some at a time, until all are done or going on is of no use."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from flagrank.domain import Reason, Usage
from flagrank.errors import BreakerOpen, CacheUnavailable, CostCapReached, RerankError
from flagrank.ports import JudgementTask
from flagrank.rerank.warming import WarmResult
from flagrank.warming.wanted import Tell

# trouble that every further task would meet as well
STOPPING = (CostCapReached, BreakerOpen, CacheUnavailable)
# so many tasks in a row whose calls gave no score say the same, whatever their trouble is
FAILURES_TO_STOP = 10


@dataclass(slots=True)
class WarmReport:
    """What became of all tasks, in numbers of texts as in WarmResult, and what they used.

    `tasks` were begun. `troubles` counts why texts are missing, by task. `stopped_by` is why the rest was not begun.
    """

    tasks: int = 0
    written: int = 0
    known: int = 0
    missing: int = 0
    usage: Usage = field(default_factory=Usage)
    troubles: Counter[Reason] = field(default_factory=Counter)
    stopped_by: RerankError | None = None
    _failures: int = 0

    def take(self, result: WarmResult) -> None:
        """Counts one task's result, and decides whether to go on."""
        self.tasks += 1
        self.written += result.written
        self.known += result.known
        self.missing += result.missing
        self.usage.add(result.usage)
        trouble = result.trouble
        if trouble is not None:
            self.troubles[trouble.reason] += 1
        is_failure = result.usage.llm_calls and result.missing and not result.written
        self._failures = self._failures + 1 if is_failure else 0
        if isinstance(trouble, STOPPING) or self._failures >= FAILURES_TO_STOP:
            self.stopped_by = self.stopped_by or trouble


def warm_all(
    tasks: Sequence[JudgementTask], warm: Callable[[JudgementTask], WarmResult], at_once: int, tell: Tell
) -> WarmReport:
    """Judges the tasks in order, so many at once; after trouble that will not pass no further one is begun."""
    report, running, waiting = WarmReport(), set[Future[WarmResult]](), list(reversed(tasks))
    with ThreadPoolExecutor(at_once, "warm") as threads:
        while running or (waiting and report.stopped_by is None):
            while waiting and len(running) < at_once and report.stopped_by is None:
                running.add(threads.submit(warm, waiting.pop()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                report.take(future.result())
                tell(report.tasks, len(tasks))
    return report
