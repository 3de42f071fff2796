"""A breaker in front of the score cache: a table that hangs costs a few requests their budget, and not every one.

Reads have a breaker, and each kind of write that a call of the LLM waits for: a table that cannot be written serves its
scores. While one is open nothing waits for the table; a probe finds out behind the requests whether it is well.
"""

from collections.abc import Callable, Collection
from concurrent.futures import Executor
from functools import partial

from flagrank.errors import CacheUnavailable
from flagrank.ports import CacheRead, Clock, ScoreCache, ScoreRecord
from flagrank.rerank.breaker import Breaker

FAILURES_TO_OPEN = 3
PROBE_AFTER_S = 2.0
# an answer that comes later than this came too late for most requests
SLOW_S = 0.25
PROBED_KEY = "probe"


class GuardedScoreCache:
    """A ScoreCache over another one that may hang. `probes` runs the probes."""

    def __init__(self, inner: ScoreCache, clock: Clock, probes: Executor) -> None:
        self._inner = inner
        self._clock = clock
        self._probes = probes
        self._reading = Breaker(clock, FAILURES_TO_OPEN, PROBE_AFTER_S)
        self._reserving = Breaker(clock, FAILURES_TO_OPEN, PROBE_AFTER_S)
        self._claiming = Breaker(clock, FAILURES_TO_OPEN, PROBE_AFTER_S)

    def read(self, key: str, day: str, entries: Collection[bytes] = ()) -> CacheRead:
        """The inner read; raises CacheUnavailable at once while reads fail."""
        read = partial(self._inner.read, key, day, entries)
        return self._guarded(self._reading, read, probe=read)

    def write(self, key: str, record: ScoreRecord) -> bool:
        """The inner write: nothing waits for it but the scores themselves."""
        return self._inner.write(key, record)

    def reserve_spend(self, day: str, micro_usd: int, below_micro_usd: int) -> bool:
        """The inner reservation; raises CacheUnavailable at once while such writes fail."""
        reserve = partial(self._inner.reserve_spend, day, micro_usd, below_micro_usd)
        return self._guarded(self._reserving, reserve, partial(self._inner.reserve_spend, day, 0, below_micro_usd))

    def claim(self, key: str, seconds: int) -> bool:
        """The inner claim; raises CacheUnavailable at once while such writes fail."""
        claim = partial(self._inner.claim, key, seconds)
        return self._guarded(self._claiming, claim, partial(self._inner.claim, PROBED_KEY, 1))

    def release(self, key: str) -> None:
        """The inner release."""
        self._inner.release(key)

    def add_spend_once(self, day: str, micro_usd: int, receipt: str) -> bool:
        """The inner addition: no request waits for it."""
        return self._inner.add_spend_once(day, micro_usd, receipt)

    def _guarded[T](self, breaker: Breaker, call: Callable[[], T], probe: Callable[[], object]) -> T:
        if breaker.is_open():
            if breaker.allows():
                self._probes.submit(self._timed, breaker, probe)
            raise CacheUnavailable("the cache has been failing in this environment")
        return self._timed(breaker, call)

    def _timed[T](self, breaker: Breaker, call: Callable[[], T]) -> T:
        begun_s = self._clock.monotonic()
        try:
            result = call()
        except CacheUnavailable:
            breaker.failed()
            raise
        breaker.record(self._clock.monotonic() - begun_s < SLOW_S)
        return result
