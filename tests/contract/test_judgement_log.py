"""What every JudgementLog promises."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagrank.adapters.dynamodb_cache import DynamoDBScoreCache
from flagrank.adapters.dynamodb_judgements import DynamoDBJudgementLog
from flagrank.adapters.in_memory import InMemoryJudgementLog, ManualClock
from flagrank.errors import CacheUnavailable
from flagrank.ports import JudgementLog, KeptJudgements, ScoreRecord

DAYS = 30
DAY_S = 86_400
KEPT = KeptJudgements("quiet headset", "a-model", "v1", ((b"entry--1", 70, 0), (b"entry--2", 0, 3)))

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
entries = st.tuples(st.binary(min_size=8, max_size=8), st.integers(0, 100), st.integers(0, 255))


@pytest.fixture(params=["in_memory", "dynamodb"])
def log(request: pytest.FixtureRequest, clock: ManualClock) -> JudgementLog:
    if request.param == "in_memory":
        return InMemoryJudgementLog(clock, DAYS)
    return DynamoDBJudgementLog(request.getfixturevalue("dynamodb"), request.getfixturevalue("table"), clock, DAYS)


def test_nothing_is_kept_at_first(log: JudgementLog) -> None:
    """An empty log is no failure."""
    assert list(log.kept()) == []


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts, texts, st.lists(entries, min_size=1, max_size=60))
def test_what_is_kept_comes_back_whole(
    log: JudgementLog, intent: str, model: str, judged: list[tuple[bytes, int, int]]
) -> None:
    """Words, judge, and each entry with its relevance and rank, in their order."""
    kept = KeptJudgements(intent, model, "v1", tuple(judged))
    log.keep(kept)
    assert kept in list(log.kept())


def test_the_same_judgement_is_kept_once(log: JudgementLog) -> None:
    """A queue may deliver twice."""
    log.keep(KEPT)
    log.keep(KEPT)
    assert list(log.kept()) == [KEPT]


def test_another_judgement_of_the_same_intent_is_kept_beside_it(log: JudgementLog) -> None:
    """The set grows; nothing is overwritten."""
    more = KeptJudgements(KEPT.intent, KEPT.model_id, KEPT.version, ((b"entry--3", 44, 1),))
    log.keep(KEPT)
    log.keep(more)
    assert sorted(log.kept(), key=lambda kept: kept.entries) == [KEPT, more]


def test_nothing_is_kept_longer_than_allowed(log: JudgementLog, clock: ManualClock) -> None:
    """Until the second before, whenever the table gets round to deleting it."""
    log.keep(KEPT)
    clock.advance(DAYS * DAY_S - 1)
    assert list(log.kept()) == [KEPT]
    clock.advance(1)
    assert list(log.kept()) == []


def test_more_than_a_page_comes_back(log: JudgementLog) -> None:
    """A table answers a megabyte at a time."""
    long = "word " * 4000
    for number in range(60):
        log.keep(KeptJudgements(f"{number} {long}", "a-model", "v1", ((b"entry--1", 1, 0),)))
    assert len(list(log.kept())) == 60


def test_scores_and_spend_of_the_cache_are_no_judgements(dynamodb: object, table: str, clock: ManualClock) -> None:
    """They lie in the same table."""
    cache, log = DynamoDBScoreCache(dynamodb, table, clock), DynamoDBJudgementLog(dynamodb, table, clock, DAYS)
    cache.write("key", ScoreRecord({b"entry--1": 70}, int(clock.now()) + 3600))
    cache.reserve_spend("2027-01-15", 5, 10**18)
    log.keep(KEPT)
    assert list(log.kept()) == [KEPT]
    assert cache.read("key", "2027-01-15").spent_micro_usd == 5


def test_a_table_that_is_not_there_is_named(dynamodb: object, clock: ManualClock) -> None:
    """As the port's one error, in both directions."""
    log = DynamoDBJudgementLog(dynamodb, "no-such-table", clock, DAYS)
    with pytest.raises(CacheUnavailable):
        log.keep(KEPT)
    with pytest.raises(CacheUnavailable):
        list(log.kept())
