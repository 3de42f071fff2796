"""Handing what is missing to whoever judges it, behind the requests' back.

One of many requests for the same intent claims it and enqueues the task; the others just answer. No request waits for
that: it happens on threads of their own, once the request's own work is done. Lambda freezes an environment between
requests, and its threads with it: a handoff under way then goes on at the next request, or is lost with the
environment. The claim lapses by itself, so what is lost is only late (infra/decisions/0071).
"""

import logging
import threading
from collections import OrderedDict
from concurrent.futures import Executor
from dataclasses import dataclass

from flagrank.errors import CacheUnavailable, QueueUnavailable
from flagrank.ports import Clock, JudgementQueue, JudgementTask, ScoreCache
from flagrank.rerank.records import record_key

# how long nobody else enqueues the intent, unless the worker is done before
CLAIM_S = 30
# how long this environment does not ask again who has the claim
REMEMBERED_S = 5.0
MAX_REMEMBERED = 1000
MAX_WAITING = 32

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HandoffCounts:
    """Tasks that went on the queue, and those that failed to get there."""

    sent: int = 0
    failed: int = 0


class Handoff:
    """Enqueues tasks, each intent's once at a time. `executor` does it; at most MAX_WAITING tasks wait for it.

    Tasks are offered during a request, and started at its end.
    """

    def __init__(self, cache: ScoreCache, queue: JudgementQueue, clock: Clock, executor: Executor) -> None:
        self._cache = cache
        self._queue = queue
        self._clock = clock
        self._executor = executor
        self._lock = threading.Lock()
        self._settled: OrderedDict[str, float] = OrderedDict()
        self._offered: list[tuple[str, JudgementTask]] = []
        self._waiting = 0
        self._counts = HandoffCounts()

    def offer(self, task: JudgementTask) -> None:
        """Takes the task at once, and forgets it where another holds the intent. Raises nothing, and waits for nothing.

        A task that finds no place, and one that cannot be enqueued, is counted as failed.
        """
        key = record_key(task.intent, task.model_id, task.version)
        now_s = self._clock.monotonic()
        with self._lock:
            if self._settled.get(key, 0.0) > now_s:
                return
            self._settled[key] = now_s + REMEMBERED_S
            self._settled.move_to_end(key)
            while len(self._settled) > MAX_REMEMBERED:
                self._settled.popitem(last=False)
            if self._waiting >= MAX_WAITING:
                self._count(failed=1)
                return
            self._waiting += 1
            self._offered.append((key, task))

    def start(self) -> None:
        """Begins to enqueue what was offered: the answer comes first, since threads share one processor with it."""
        with self._lock:
            offered, self._offered = self._offered, []
        for key, task in offered:
            self._executor.submit(self._enqueue, key, task)

    def drain(self) -> HandoffCounts:
        """The counts since this was last asked."""
        with self._lock:
            counts, self._counts = self._counts, HandoffCounts()
        return counts

    def _enqueue(self, key: str, task: JudgementTask) -> None:
        sent = failed = 0
        try:
            if self._cache.claim(key, CLAIM_S):
                self._queue.send(task)
                sent = 1
        except (CacheUnavailable, QueueUnavailable) as error:
            logger.warning("a task was not enqueued: %s", error)
            failed = 1
        except Exception:
            logger.exception("a task was not enqueued, for a reason that nobody foresaw")
            failed = 1
        with self._lock:
            self._waiting -= 1
            self._count(sent, failed)

    def _count(self, sent: int = 0, failed: int = 0) -> None:
        self._counts = HandoffCounts(self._counts.sent + sent, self._counts.failed + failed)
