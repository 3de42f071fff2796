"""Reading a part of the users' file from an S3 that has trouble."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flagrank.adapters.in_memory import InlineExecutor, InMemoryFlagSource, ManualClock
from flagrank.adapters.s3_factors import S3FactorStore, Sizes
from flagrank.adapters.s3_users import S3UserStore
from flagrank.domain import RecommendRequest, UserProblem
from flagrank.errors import UsersUnavailable
from flagrank.ranking.rules import RuleSet
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.reranker import IdentityReranker
from flagrank.serving.known_users import KnownUsers
from flagrank.serving.pipeline import Recommender
from flagrank.serving.resolve_rules import RulesBySet
from tests.adapters.cloud import publish
from tests.adapters.loopback import Answer, Loopback, client
from tests.factories import make_factors

VERSION = "20260101-0123456789ab"


def problem_of(store: S3UserStore, size: int = 10, timeout_ms: float = 5000) -> UserProblem:
    with pytest.raises(UsersUnavailable) as raised:
        store.read(VERSION, 0, size, timeout_ms)
    return raised.value.problem


def store_at(url: str, **values: Any) -> S3UserStore:
    return S3UserStore(lambda: client("s3", url, read_timeout_s=0.3), "bucket", **values)


def test_the_range_is_what_was_asked_for() -> None:
    """One request, of the version's users' file."""
    with Loopback(lambda call: Answer(206, b"0123456789")) as s3:
        assert store_at(s3.url).read(VERSION, 100, 10, 5000) == b"0123456789"
    assert [(call.path, call.headers["range"]) for call in s3.calls] == [
        (f"/bucket/factors/{VERSION}/users.bin", "bytes=100-109")
    ]


@pytest.mark.parametrize("user_id", [1, 57, 300, 301])
def test_a_set_without_users_in_memory_serves_as_one_with_them(s3: Any, bucket: str, user_id: int) -> None:
    """Both from S3: the same lists, and a newer set's users after its publication."""
    clock = ManualClock()
    alone = S3FactorStore(s3, bucket, clock, sizes=Sizes(users_in_memory_bytes=0), executor=InlineExecutor())
    held = S3FactorStore(s3, bucket, clock, executor=InlineExecutor())
    users = KnownUsers(S3UserStore(lambda: s3, bucket), Breaker(clock))
    for seed in (1, 2):
        publish(s3, bucket, make_factors(users=300, seed=seed))
        clock.advance(60)
        flags, rules = InMemoryFlagSource(None), RulesBySet(RuleSet())
        answers = [
            Recommender(store, flags, IdentityReranker(), rules, clock, users).recommend(RecommendRequest(user_id))
            for store in (alone, held)
        ]
        assert (len(alone.current().user_ids), len(held.current().user_ids)) == (0, 300)
        assert answers[0].diagnostics.user_read
        assert answers[0].items == answers[1].items


def test_a_silent_s3_is_late_for_the_caller_and_ended_by_the_clients_timeout() -> None:
    """The caller goes on after its own time; the thread is free again after the client's."""
    with Loopback(lambda call: Answer(hang=True)) as s3, ThreadPoolExecutor(1) as threads:
        store = store_at(s3.url, executor=threads)
        assert problem_of(store, timeout_ms=20) is UserProblem.LATE
        assert problem_of(store) is UserProblem.UNREADABLE


def test_a_read_that_was_given_up_on_before_it_began_is_never_sent() -> None:
    """While all threads hang, those who wait behind them do not pile up."""
    with Loopback(lambda call: Answer(hang=True)) as s3, ThreadPoolExecutor(1) as threads:
        store = store_at(s3.url, executor=threads)
        assert [problem_of(store, timeout_ms=10) for _ in range(3)] == [UserProblem.LATE] * 3
        threads.submit(lambda: None).result(5)
        assert len(s3.calls) == 1


@pytest.mark.parametrize("status", [403, 404, 416, 500, 503])
def test_an_error_of_s3_is_unreadable(status: int) -> None:
    """Whatever the error, it has a name."""
    with Loopback(lambda call: Answer(status)) as s3:
        assert problem_of(store_at(s3.url)) is UserProblem.UNREADABLE


@pytest.mark.parametrize("body", [b"012345678", b"0123456789ab"])
def test_a_short_answer_is_unreadable(body: bytes) -> None:
    """As is one that is longer: a store that ignores the range."""
    with Loopback(lambda call: Answer(206, body)) as s3:
        assert problem_of(store_at(s3.url)) is UserProblem.UNREADABLE


def test_nobody_is_there() -> None:
    """A refused connection is unreadable, too."""
    with Loopback(lambda call: Answer()) as s3:
        url = s3.url
    assert problem_of(store_at(url)) is UserProblem.UNREADABLE
