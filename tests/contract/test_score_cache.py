"""What every ScoreCache promises."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagrank.adapters.dynamodb_cache import DynamoDBScoreCache
from flagrank.adapters.in_memory import InMemoryScoreCache, ManualClock
from flagrank.adapters.tiered_cache import TieredScoreCache
from flagrank.ports import ScoreCache, ScoreRecord

DAY = "2027-01-15"
SCORES = {b"entry--1": 70, b"entry--2": 0, b"entry--3": 100}


@pytest.fixture(params=["in_memory", "tiered over in_memory", "dynamodb", "tiered over dynamodb"])
def open_cache(request: pytest.FixtureRequest, clock: ManualClock) -> Callable[[], ScoreCache]:
    """Opens one more environment's view of the same cache."""
    if request.param.endswith("in_memory"):
        shared: ScoreCache = InMemoryScoreCache(clock)
    else:
        shared = DynamoDBScoreCache(request.getfixturevalue("dynamodb"), request.getfixturevalue("table"), clock)
    if request.param.startswith("tiered"):
        return lambda: TieredScoreCache(shared, clock)
    return lambda: shared


@pytest.fixture
def cache(open_cache: Callable[[], ScoreCache]) -> ScoreCache:
    return open_cache()


def in_an_hour(clock: ManualClock) -> int:
    return int(clock.now()) + 3600


def test_an_unknown_key_is_a_miss(cache: ScoreCache) -> None:
    """Nothing stored: no record, nothing spent."""
    read = cache.read("unknown", DAY)
    assert (read.record, read.spent_micro_usd) == (None, 0)


def test_a_record_comes_back_as_the_next_revision(cache: ScoreCache, clock: ManualClock) -> None:
    """Scores and expiry survive; the revision says that there was one write."""
    assert cache.write("key", ScoreRecord(SCORES, in_an_hour(clock)))
    record = cache.read("key", DAY).record
    assert record == ScoreRecord(SCORES, in_an_hour(clock), revision=1)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.binary(min_size=8, max_size=8), st.integers(0, 100), max_size=60))
def test_any_scores_survive_the_way_there_and_back(
    cache: ScoreCache, clock: ManualClock, scores: dict[bytes, int]
) -> None:
    """Every entry key and every relevance comes back unchanged."""
    key = str(sorted(scores.items()))
    cache.write(key, ScoreRecord(scores, in_an_hour(clock)))
    record = cache.read(key, DAY).record
    assert record is not None
    assert record.scores == scores


def test_keys_do_not_meet(cache: ScoreCache, clock: ManualClock) -> None:
    """A record is found under its own key only, and not under a day's name either."""
    cache.write(DAY, ScoreRecord(SCORES, in_an_hour(clock)))
    assert cache.read("other", DAY).record is None
    assert cache.read("other", DAY).spent_micro_usd == 0


def test_a_record_ends_at_its_expiry(cache: ScoreCache, clock: ManualClock) -> None:
    """It serves until the second before, and not in that second, whenever the table gets round to deleting it."""
    cache.write("key", ScoreRecord(SCORES, in_an_hour(clock)))
    clock.advance(3599)
    assert cache.read("key", DAY).record is not None
    clock.advance(1)
    assert cache.read("key", DAY).record is None


def test_an_expired_record_can_be_written_anew(cache: ScoreCache, clock: ManualClock) -> None:
    """What lies there expired is no other writer."""
    cache.write("key", ScoreRecord(SCORES, in_an_hour(clock)))
    clock.advance(3600)
    assert cache.write("key", ScoreRecord({b"entry--9": 9}, in_an_hour(clock)))
    record = cache.read("key", DAY).record
    assert record is not None
    assert record.scores == {b"entry--9": 9}


def test_a_record_can_be_added_to(cache: ScoreCache, clock: ManualClock) -> None:
    """Whoever read a revision may replace it."""
    cache.write("key", ScoreRecord(SCORES, in_an_hour(clock)))
    more = {**SCORES, b"entry--4": 44}
    assert cache.write("key", ScoreRecord(more, in_an_hour(clock), revision=1))
    assert cache.read("key", DAY).record == ScoreRecord(more, in_an_hour(clock), revision=2)


def test_a_first_write_never_overwrites_another_s(open_cache: Callable[[], ScoreCache], clock: ManualClock) -> None:
    """Of two environments that both missed, the second learns that it was second."""
    first, second = open_cache(), open_cache()
    assert first.write("key", ScoreRecord(SCORES, in_an_hour(clock)))
    assert not second.write("key", ScoreRecord({b"entry--9": 9}, in_an_hour(clock)))
    record = second.read("key", DAY).record
    assert record is not None
    assert record.scores == SCORES


def test_a_stale_revision_never_overwrites_a_newer_one(
    open_cache: Callable[[], ScoreCache], clock: ManualClock
) -> None:
    """Of two environments that read the same revision, the second write is refused and nothing is lost."""
    first, second = open_cache(), open_cache()
    first.write("key", ScoreRecord(SCORES, in_an_hour(clock)))
    more = {**SCORES, b"entry--4": 44}
    assert first.write("key", ScoreRecord(more, in_an_hour(clock), revision=1))
    assert not second.write("key", ScoreRecord(SCORES, in_an_hour(clock), revision=1))
    record = second.read("key", DAY).record
    assert record is not None
    assert record.scores == more


def test_a_revision_that_is_gone_cannot_be_replaced(cache: ScoreCache, clock: ManualClock) -> None:
    """A record that was deleted meanwhile is not brought back by an addition to it."""
    assert not cache.write("gone", ScoreRecord(SCORES, in_an_hour(clock), revision=3))
    assert cache.read("gone", DAY).record is None


def test_spend_adds_up_by_day(open_cache: Callable[[], ScoreCache]) -> None:
    """What all environments add is what a new one reads; another day begins at nothing."""
    open_cache().reserve_spend(DAY, 100, 10**18)
    open_cache().reserve_spend(DAY, 23, 10**18)
    newcomer = open_cache()
    assert newcomer.read("key", DAY).spent_micro_usd == 123
    assert newcomer.read("key", "2027-01-16").spent_micro_usd == 0


def test_spend_is_reserved_only_below_a_limit(cache: ScoreCache) -> None:
    """The first reservation that finds the limit reached adds nothing, nor does one on a day without room."""
    assert not cache.reserve_spend(DAY, 5, 0)
    assert cache.reserve_spend(DAY, 60, 100)
    assert cache.reserve_spend(DAY, 60, 100)
    assert not cache.reserve_spend(DAY, 60, 100)
    assert cache.read("key", DAY).spent_micro_usd == 120


def test_of_many_reservations_at_once_one_passes_the_limit(open_cache: Callable[[], ScoreCache]) -> None:
    """Looking and adding are one step, over all environments."""
    caches = [open_cache() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        reserved = list(pool.map(lambda number: caches[number % 4].reserve_spend(DAY, 30, 100), range(20)))
    assert sum(reserved) == 4
    assert open_cache().read("key", DAY).spent_micro_usd == 120


def test_spend_added_at_once_is_all_counted(open_cache: Callable[[], ScoreCache]) -> None:
    """The counter is atomic."""
    cache = open_cache()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: cache.reserve_spend(DAY, 5, 10**18), range(20)))
    assert open_cache().read("key", DAY).spent_micro_usd == 100


def test_a_claim_is_one_environment_s_alone(open_cache: Callable[[], ScoreCache]) -> None:
    """Of all who claim a key at once, one gets it."""
    environments = [open_cache() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda cache: cache.claim("key", 30), environments))
    assert sum(claimed) == 1


def test_a_claim_lapses(cache: ScoreCache, clock: ManualClock) -> None:
    """It lasts until its last second, and what has lapsed can be claimed again."""
    assert cache.claim("key", 30)
    clock.advance(29)
    assert not cache.claim("key", 30)
    clock.advance(1)
    assert cache.claim("key", 30)
    assert not cache.claim("key", 30)


def test_a_released_claim_can_be_claimed_at_once(open_cache: Callable[[], ScoreCache]) -> None:
    """Whoever did the work ends the claim of whoever asked for it; a key without a claim can be released too."""
    asked, worked = open_cache(), open_cache()
    assert asked.claim("key", 30)
    worked.release("key")
    worked.release("key")
    assert asked.claim("key", 30)


def test_a_claim_is_no_record_and_no_spend(cache: ScoreCache, clock: ManualClock) -> None:
    """A claim on a key leaves the record under that key alone, and the other way round."""
    assert cache.claim("key", 30)
    assert cache.read("key", DAY).record is None
    assert cache.write("key", ScoreRecord(SCORES, in_an_hour(clock)))
    cache.release("key")
    assert cache.read("key", DAY).record is not None
    assert cache.claim("key", 30)


def test_spend_with_a_receipt_is_counted_once(open_cache: Callable[[], ScoreCache]) -> None:
    """Whoever comes a second time with the same receipt is told so, and another receipt counts for itself."""
    assert open_cache().add_spend_once(DAY, 100, "job-1")
    assert not open_cache().add_spend_once(DAY, 100, "job-1")
    assert not open_cache().add_spend_once("2027-01-16", 100, "job-1")
    assert open_cache().add_spend_once(DAY, 20, "job-2")
    open_cache().reserve_spend(DAY, 3, 10**18)
    assert open_cache().read("key", DAY).spent_micro_usd == 123
    assert open_cache().read("key", "2027-01-16").spent_micro_usd == 0


def test_of_many_with_one_receipt_one_counts(open_cache: Callable[[], ScoreCache]) -> None:
    """Receipt and spend are one step."""
    cache = open_cache()
    with ThreadPoolExecutor(4) as pool:
        counted = list(pool.map(lambda _: cache.add_spend_once(DAY, 5, "job-1"), range(12)))
    assert counted.count(True) == 1
    assert open_cache().read("key", DAY).spent_micro_usd == 5
