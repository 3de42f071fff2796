"""The breaker in front of the score cache: a table that fails is not waited for."""

from concurrent.futures import Executor
from typing import Any

import pytest

from flagrank.adapters.guarded_cache import FAILURES_TO_OPEN, PROBE_AFTER_S, SLOW_S, GuardedScoreCache
from flagrank.adapters.in_memory import InlineExecutor, InMemoryScoreCache, ManualClock
from flagrank.adapters.tiered_cache import SPEND_FRESH_S, TieredScoreCache
from flagrank.errors import CacheUnavailable
from flagrank.ports import CacheRead, ScoreRecord

DAY = "2027-01-15"


class Table(InMemoryScoreCache):
    """Counts what it is asked, and may take its time to answer."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.asked: list[str] = []
        self.takes_s = 0.0

    def read(self, key: str, day: str, entries: Any = ()) -> CacheRead:
        self.asked.append("read")
        self.clock.advance(self.takes_s)
        return super().read(key, day)

    def claim(self, key: str, seconds: int) -> bool:
        self.asked.append("claim")
        return super().claim(key, seconds)


@pytest.fixture
def table(clock: ManualClock) -> Table:
    return Table(clock)


@pytest.fixture
def cache(table: Table, clock: ManualClock) -> GuardedScoreCache:
    return GuardedScoreCache(table, clock, InlineExecutor())


def fail(call: Any, times: int = FAILURES_TO_OPEN) -> None:
    for _ in range(times):
        with pytest.raises(CacheUnavailable):
            call()


def test_a_table_that_fails_is_soon_not_asked_any_more(cache: GuardedScoreCache, table: Table) -> None:
    """A few requests find out, and the others are answered at once."""
    table.broken = True
    fail(lambda: cache.read("key", DAY), times=50)
    assert len(table.asked) == FAILURES_TO_OPEN


def test_an_answer_that_comes_too_late_is_a_failure(cache: GuardedScoreCache, table: Table) -> None:
    """Whoever waited for it has fallen back by then."""
    table.takes_s = SLOW_S
    for _ in range(FAILURES_TO_OPEN):
        cache.read("key", DAY)
    fail(lambda: cache.read("key", DAY))


def test_a_probe_behind_the_requests_finds_it_well_again(
    cache: GuardedScoreCache, table: Table, clock: ManualClock
) -> None:
    """The request that begins the probe does not wait for it either; the next one reads."""
    table.broken = True
    fail(lambda: cache.read("key", DAY))
    table.broken = False
    fail(lambda: cache.read("key", DAY), times=1)
    clock.advance(PROBE_AFTER_S)
    fail(lambda: cache.read("key", DAY), times=1)
    assert cache.read("key", DAY) == CacheRead(None, 0)


def test_a_probe_that_hangs_is_one_probe(table: Table, clock: ManualClock) -> None:
    """However many requests come, one asks in an interval, and none of them waits."""
    begun = []

    class Hanging(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            begun.append(fn)

    cache = GuardedScoreCache(table, clock, Hanging())
    table.broken = True
    fail(lambda: cache.read("key", DAY))
    for _ in range(3):
        clock.advance(PROBE_AFTER_S)
        fail(lambda: cache.read("key", DAY), times=20)
    assert len(begun) == 3


def test_a_table_that_cannot_be_written_can_be_read(
    cache: GuardedScoreCache, table: Table, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores that it holds are still served; what a call waits for is refused at once, until a probe is taken."""

    def refuse(self: Table, key: str, seconds: int) -> bool:
        table.asked.append("refused")
        raise CacheUnavailable("told to")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "claim", refuse)
        fail(lambda: cache.claim("key", 5), times=20)
        assert table.asked == ["refused"] * FAILURES_TO_OPEN
        assert cache.read("key", DAY).record is None
    clock.advance(PROBE_AFTER_S)
    fail(lambda: cache.claim("key", 5), times=1)
    assert cache.claim("key", 5)


def test_what_this_process_remembers_is_served_all_the_same(
    cache: GuardedScoreCache, table: Table, clock: ManualClock
) -> None:
    """The tier in front of it answers without the table."""
    tiered = TieredScoreCache(cache, clock)
    record = ScoreRecord({b"entry--1": 70}, int(clock.now()) + 3600)
    tiered.write("key", record)
    table.broken = True
    clock.advance(SPEND_FRESH_S)
    for _ in range(20):
        assert tiered.read("key", DAY).record is not None
    assert len(table.asked) == FAILURES_TO_OPEN
