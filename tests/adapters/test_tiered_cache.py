"""The in-process tier: what it saves, what it must not hide, and what it survives."""

from collections.abc import Collection

import pytest

from flagrank.adapters.in_memory import InMemoryScoreCache, ManualClock
from flagrank.adapters.tiered_cache import SPEND_FRESH_S, TieredScoreCache
from flagrank.errors import CacheUnavailable
from flagrank.ports import CacheRead, ScoreRecord

DAY = "2027-01-15"


class CountingCache(InMemoryScoreCache):
    """Counts the reads that get through."""

    reads = 0

    def read(self, key: str, day: str, entries: Collection[bytes] = ()) -> CacheRead:
        self.reads += 1
        return super().read(key, day, entries)


@pytest.fixture
def inner(clock: ManualClock) -> CountingCache:
    return CountingCache(clock)


@pytest.fixture
def cache(inner: CountingCache, clock: ManualClock) -> TieredScoreCache:
    return TieredScoreCache(inner, clock, max_records=2)


def record(clock: ManualClock, score: int = 50) -> ScoreRecord:
    return ScoreRecord({b"entry--1": score}, int(clock.now()) + 3600)


def test_a_second_hit_costs_no_round_trip(cache: TieredScoreCache, inner: CountingCache, clock: ManualClock) -> None:
    """While record and spend are fresh, memory answers."""
    inner.write("key", record(clock))
    first = cache.read("key", DAY)
    assert cache.read("key", DAY) == first
    assert inner.reads == 1


def test_what_was_written_here_is_remembered_here(
    cache: TieredScoreCache, inner: CountingCache, clock: ManualClock
) -> None:
    """After a write only the spend is still to be read, and it is read once."""
    cache.write("key", record(clock))
    for _ in range(3):
        assert cache.read("key", DAY).record == ScoreRecord({b"entry--1": 50}, int(clock.now()) + 3600, 1)
    assert inner.reads == 1


def test_what_was_written_here_can_be_added_to_from_memory(cache: TieredScoreCache, clock: ManualClock) -> None:
    """The remembered revision is the one that the table now holds."""
    cache.read("other", DAY)
    cache.write("key", record(clock))
    found = cache.read("key", DAY).record
    assert found is not None
    assert cache.write("key", found)


def test_a_miss_always_asks(cache: TieredScoreCache, inner: CountingCache) -> None:
    """Another environment may have written what was missing a moment ago."""
    cache.read("key", DAY)
    cache.read("key", DAY)
    assert inner.reads == 2


def test_a_record_that_misses_an_entry_is_read_again(
    cache: TieredScoreCache, inner: CountingCache, clock: ManualClock
) -> None:
    """A worker may have added it: what is remembered answers only for what it holds."""
    inner.write("key", record(clock))
    cache.read("key", DAY)
    inner.write("key", ScoreRecord({b"entry--1": 50, b"entry--2": 9}, int(clock.now()) + 3600, 1))
    assert cache.read("key", DAY, [b"entry--1"]).record == record_of_one(clock)
    found = cache.read("key", DAY, [b"entry--1", b"entry--2"]).record
    assert found is not None
    assert found.scores == {b"entry--1": 50, b"entry--2": 9}
    assert inner.reads == 2


def record_of_one(clock: ManualClock) -> ScoreRecord:
    return ScoreRecord({b"entry--1": 50}, int(clock.now()) + 3600, 1)


def test_a_claim_drops_what_is_remembered(cache: TieredScoreCache, inner: CountingCache, clock: ManualClock) -> None:
    """Somebody judges the intent anew, and the next request must see it."""
    inner.write("key", record(clock))
    cache.read("key", DAY)
    cache.claim("key", 30)
    cache.read("key", DAY)
    assert inner.reads == 2


def test_the_spend_of_other_environments_is_seen_within_seconds(
    cache: TieredScoreCache, inner: CountingCache, clock: ManualClock
) -> None:
    """A remembered record does not freeze the day's bill."""
    cache.write("key", record(clock))
    cache.read("key", DAY)
    inner.reserve_spend(DAY, 500, 10**18)
    assert cache.read("key", DAY).spent_micro_usd == 0
    clock.advance(SPEND_FRESH_S)
    assert cache.read("key", DAY).spent_micro_usd == 500


def test_spend_of_this_environment_is_seen_at_once(
    cache: TieredScoreCache, inner: CountingCache, clock: ManualClock
) -> None:
    """What is added here counts in the next read, whether or not that is a round trip."""
    cache.write("key", record(clock))
    cache.read("key", DAY)
    cache.reserve_spend(DAY, 30, 10**18)
    assert cache.read("key", DAY).spent_micro_usd == 30
    assert inner.reads == 1


def test_a_new_day_begins_its_own_bill(cache: TieredScoreCache, clock: ManualClock) -> None:
    """Yesterday's remembered spend is not today's."""
    cache.write("key", record(clock))
    cache.reserve_spend(DAY, 30, 10**18)
    assert cache.read("key", DAY).spent_micro_usd == 30
    assert cache.read("key", "2027-01-16").spent_micro_usd == 0


def test_a_remembered_record_expires_like_any_other(cache: TieredScoreCache, clock: ManualClock) -> None:
    """Memory does not outlive the TTL."""
    cache.write("key", record(clock))
    clock.advance(3600)
    assert cache.read("key", DAY).record is None


def test_a_lost_race_forgets_what_was_remembered(
    inner: CountingCache, cache: TieredScoreCache, clock: ManualClock
) -> None:
    """The winner's record is what the next read sees."""
    cache.write("key", record(clock))
    cache.read("key", DAY)
    inner.write("key", ScoreRecord({b"entry--1": 99}, int(clock.now()) + 3600, revision=1))
    assert not cache.write("key", ScoreRecord({b"entry--1": 1}, int(clock.now()) + 3600, revision=1))
    found = cache.read("key", DAY).record
    assert found is not None
    assert found.scores == {b"entry--1": 99}


def test_the_record_used_longest_ago_makes_room(
    cache: TieredScoreCache, inner: CountingCache, clock: ManualClock
) -> None:
    """Of three records in a memory of two, the one not touched since is asked for again."""
    for key in ("a", "b"):
        inner.write(key, record(clock))
        cache.read(key, DAY)
    cache.read("a", DAY)
    inner.write("c", record(clock))
    cache.read("c", DAY)
    reads = inner.reads
    cache.read("a", DAY)
    assert inner.reads == reads
    cache.read("b", DAY)
    assert inner.reads == reads + 1


def test_a_remembered_record_outlives_an_outage(
    cache: TieredScoreCache, inner: CountingCache, clock: ManualClock
) -> None:
    """With the table gone a hit is a hit, with the spend last known."""
    cache.write("key", record(clock))
    cache.reserve_spend(DAY, 30, 10**18)
    cache.read("key", DAY)
    inner.broken = True
    clock.advance(SPEND_FRESH_S)
    read = cache.read("key", DAY)
    assert read.record is not None
    assert read.spent_micro_usd == 30


def test_a_miss_in_an_outage_is_an_unavailable_cache(cache: TieredScoreCache, inner: CountingCache) -> None:
    """Memory does not pretend to know what it never saw."""
    inner.broken = True
    with pytest.raises(CacheUnavailable):
        cache.read("key", DAY)


def test_a_write_that_failed_is_not_remembered(
    cache: TieredScoreCache, inner: CountingCache, clock: ManualClock
) -> None:
    """What the table does not hold, memory does not either: revisions would part."""
    inner.broken = True
    with pytest.raises(CacheUnavailable):
        cache.write("key", record(clock))
    inner.broken = False
    assert cache.read("key", DAY).record is None
