"""Requests of users who are read from the users' file, one at a time."""

from typing import Any

import numpy as np
import pytest

from flagrank.adapters.in_memory import ManualClock
from flagrank.adapters.in_memory_users import InMemoryUserStore
from flagrank.domain import Mode, UserKind, UserProblem
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName
from flagrank.model.artifacts import MANIFEST, USERS, parse_manifest
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors
from flagrank.model.validation import validate
from flagrank.rerank.breaker import FAILURES_TO_OPEN, PROBE_AFTER_S, Breaker
from flagrank.serving.api import answer_document
from flagrank.serving.known_users import KnownUsers
from tests.factories import make_factors
from tests.wiring import Wired, ids

WHOLE = make_factors(items=200, users=300)
FILES = encode(WHOLE, created="2026-01-02T03:04:05+00:00", training={})
BASELINE = FlagDocument(enabled=True, percent=0)
WAIT_MS = 100.0


def items_alone(files: dict[str, bytes] = FILES) -> Factors:
    return validate(parse_manifest(files[MANIFEST]), files.__getitem__, keep_users=False)


def store() -> InMemoryUserStore:
    return InMemoryUserStore({items_alone().version: FILES[USERS]})


def wired(**values: Any) -> Wired:
    return Wired(BASELINE, factors=items_alone(), users=store(), **values)


@pytest.mark.parametrize("user_id", [1, 123, 300, 301, 0, -5, 999])
def test_a_user_who_is_read_gets_what_one_in_memory_gets(user_id: int) -> None:
    """Known users at both ends and strangers beside them: the same list, and the same word on who asks."""
    read, held = wired().recommend(user_id), Wired(BASELINE, factors=WHOLE).recommend(user_id)
    assert (ids(read), read.mode, read.diagnostics.user) == (ids(held), held.mode, held.diagnostics.user)


@pytest.mark.parametrize("history", [(), (100, 105)])
def test_histories_are_folded_in_alike(history: tuple[int, ...]) -> None:
    """The mean user of the index is the one of the users in memory."""
    read, held = (each.recommend(999, history=history) for each in (wired(), Wired(BASELINE, factors=WHOLE)))
    assert ids(read) == ids(held)


def test_a_request_reads_once_and_the_next_one_not_at_all() -> None:
    """The known are remembered, and strangers between them, too."""
    service = wired()
    for user_id in (7, 7, 150, 7, 150, 9999, 9999):
        service.recommend(user_id)
    assert service.users.reads == 3
    assert [emitted[MetricName.USER_READ] for emitted in values(service)] == [1, 0, 1, 0, 0, 1, 0]


def values(service: Wired) -> list[Any]:
    return [values for _, values, _ in service.metrics.records]


@pytest.mark.parametrize("problem", list(UserProblem))
def test_a_user_who_cannot_be_read_is_served_as_a_cold_one_with_the_reason(problem: UserProblem) -> None:
    """In the answer, in the counter and in the log's line; never an error."""
    service = wired()
    service.users.problem = problem
    answer = service.recommend(7)
    assert (answer.mode, answer.diagnostics.user, len(answer.items)) == (Mode.COLD_START, UserKind.COLD, 10)
    assert answer_document(answer, explain=False)["user_problem"] == problem
    assert values(service)[0][MetricName.USER_UNREAD] == 1
    assert service.metrics.records[0][2]["user_problem"] == problem


def test_a_user_who_cannot_be_read_is_folded_in_from_a_history() -> None:
    """What the caller knows of the user is better than nothing."""
    service = wired()
    service.users.problem = UserProblem.LATE
    answer = service.recommend(7, history=(100, 105))
    assert (answer.mode, answer.diagnostics.user) == (Mode.BASELINE, UserKind.FOLD_IN)
    assert answer.diagnostics.user_problem is UserProblem.LATE


def test_who_can_be_read_has_no_problem_in_the_answer() -> None:
    """The document is what it was."""
    assert "user_problem" not in answer_document(wired().recommend(7), explain=False)


def test_a_damaged_block_is_a_problem_and_not_remembered() -> None:
    """A byte that changed on the way is noticed by the checksum; the next request reads again."""
    service = wired()
    version, good = items_alone().version, FILES[USERS]
    service.users.files[version] = bytes([good[0] ^ 1]) + good[1:]
    assert service.recommend(7).diagnostics.user_problem is UserProblem.DAMAGED
    service.users.files[version] = good
    assert service.recommend(7).diagnostics.user is UserKind.KNOWN


def test_a_bug_in_a_store_is_counted_as_unknown() -> None:
    """What nobody foresaw costs the request its user, and no more."""

    class Broken(InMemoryUserStore):
        def read(self, version: str, start: int, size: int, timeout_ms: float) -> bytes:
            raise RuntimeError("nobody foresaw this")

    service = Wired(BASELINE, factors=items_alone(), users=Broken())
    assert service.recommend(7).diagnostics.user_problem is UserProblem.UNKNOWN


def test_a_store_that_fails_is_left_alone_for_a_while() -> None:
    """After some failures in a row no request waits for it but a probe; when that is answered, all is well."""
    service = wired()
    service.users.problem = UserProblem.UNREADABLE
    problems = [service.recommend(user_id).diagnostics.user_problem for user_id in range(1, FAILURES_TO_OPEN + 3)]
    assert problems == [UserProblem.UNREADABLE] * FAILURES_TO_OPEN + [UserProblem.PAUSED] * 2
    assert service.users.reads == FAILURES_TO_OPEN
    service.users.problem = None
    service.clock.advance(PROBE_AFTER_S)
    assert [service.recommend(user_id).diagnostics.user for user_id in (1, 2)] == [UserKind.KNOWN] * 2


def test_what_is_remembered_belongs_to_a_version() -> None:
    """After a publication the same user is read again."""
    service = wired()
    before = ids(service.recommend(7))
    other = make_factors(items=200, users=300, seed=1)
    files = encode(other, created="2026-01-02T03:04:05+00:00", training={})
    newer = items_alone(files)
    service.users.files[newer.version] = files[USERS]
    service.store.publish(newer)
    assert ids(service.recommend(7)) == ids(Wired(BASELINE, factors=other).recommend(7)) != before


def test_those_who_asked_longest_ago_are_forgotten_first() -> None:
    """What is remembered has a bound in bytes."""
    users, factors, clock = store(), items_alone(), ManualClock()
    known = KnownUsers(users, Breaker(clock), remembered_bytes=1500)
    for user_id in (1, 2, 1, 3):
        known.find(factors, user_id, WAIT_MS)
    assert users.reads == 3
    known.find(factors, 1, WAIT_MS)
    assert users.reads == 3
    known.find(factors, 2, WAIT_MS)
    assert users.reads == 4


def test_without_a_store_such_users_have_a_problem_too() -> None:
    """A tool that was given no store says so instead of taking everybody for strangers."""
    assert KnownUsers().find(items_alone(), 7, WAIT_MS).problem is UserProblem.UNREADABLE


def test_a_vector_is_a_copy() -> None:
    """What is remembered does not hold its whole block in memory."""
    found = KnownUsers(store()).find(items_alone(), 7, WAIT_MS)
    assert found.known is not None
    assert found.known.vector.base is None
    np.testing.assert_array_equal(found.known.vector, WHOLE.user_factors[6])


@pytest.mark.parametrize(("budget_ms", "waited_ms"), [(300, 100.0), (60, 60.0)])
def test_a_read_has_no_more_time_than_the_request(budget_ms: int, waited_ms: float) -> None:
    """A hundred milliseconds, or what is left of a smaller budget."""
    given: list[float] = []

    class Watched(InMemoryUserStore):
        def read(self, version: str, start: int, size: int, timeout_ms: float) -> bytes:
            given.append(timeout_ms)
            return super().read(version, start, size, timeout_ms)

    flag = FlagDocument(enabled=True, percent=0, request_budget_ms=budget_ms, call_budget_ms=50)
    Wired(flag, factors=items_alone(), users=Watched(store().files)).recommend(7)
    assert given == pytest.approx([waited_ms])
