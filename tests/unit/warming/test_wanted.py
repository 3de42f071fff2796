"""Which heads are wanted for users and for queries."""

import numpy as np
import pytest

from flagrank.adapters.in_memory import ManualClock
from flagrank.domain import Arm, Reason, RecommendRequest
from flagrank.errors import ConfigurationError
from flagrank.flags.assignment import decide
from flagrank.flags.document import FlagDocument
from flagrank.ranking.rules import RuleSet
from flagrank.serving.resolve_rules import RulesBySet
from flagrank.warming.heads import Head, HeadReader
from flagrank.warming.wanted import (
    SAMPLED_HEADS,
    Wanted,
    cold_user,
    coverage,
    drawn_users,
    everyone_treated,
    most_active,
    planned_flag,
    want_queries,
    want_users,
)
from tests.factories import make_factors

FACTORS = make_factors(items=200, users=40)
HALF = FlagDocument(enabled=True, percent=50)
QUERIES = ["wireless audio", "steel kitchen"]


def reader(flag: FlagDocument) -> HeadReader:
    return HeadReader(FACTORS, flag, RulesBySet(RuleSet()), ManualClock())


def silent(done: int, total: int) -> None:
    """Nobody watches."""


def test_users_in_control_are_left_out_and_counted() -> None:
    """Nobody will see what was judged for them."""
    wanted = Wanted()
    users = FACTORS.user_ids.tolist()
    want_users(wanted, reader(HALF), users, silent)
    treated = [user for user in users if decide(HALF, user).arm is Arm.TREATMENT]
    assert 0 < len(treated) < 40
    assert wanted.left_out == {Reason.SPLIT: 40 - len(treated)}
    assert len(wanted.heads) <= len(treated)


def test_one_intent_is_one_head_with_the_texts_of_all_its_users() -> None:
    """Two users who want the same are asked about together, each text once."""
    wanted = Wanted()
    wanted.add(Head("wireless", ("a", "b")))
    wanted.add(Head("steel", ("c",)))
    wanted.add(Head("wireless", ("b", "d")))
    assert wanted.heads == [Head("wireless", ("a", "b", "d")), Head("steel", ("c",))]


def test_a_percentage_to_come_can_be_planned_for() -> None:
    """Users of the next step are warmed before it, and a flag that is off is planned as if it were on."""
    off = FlagDocument(enabled=False, percent=5)
    assert planned_flag(off, None) is off
    assert planned_flag(off, 20) == FlagDocument(enabled=True, percent=20)
    with pytest.raises(ConfigurationError, match="percent"):
        planned_flag(off, 20.001)


def test_the_most_active_have_the_most_interactions() -> None:
    """Ties go by row, so that the same command means the same users."""
    counts = np.array([2, 5, 5, 1])
    factors = make_factors(
        users=4, seen_indptr=np.concatenate([[0], np.cumsum(counts)]), seen_indices=np.arange(13, dtype=np.int32)
    )
    assert most_active(factors, 3) == [2, 3, 1]
    assert most_active(factors, 99) == [2, 3, 1, 4]


@pytest.mark.parametrize(
    "user_ids", [np.array([0, 1, 3], np.int64), np.array(["anna", "nobody-0", "zoe"]), np.array([5, 6], np.int64)]
)
def test_the_cold_user_is_in_no_set(user_ids: np.ndarray) -> None:
    """An id of the trained type that the set does not hold."""
    items = np.array([f"item-{number}" for number in range(20)]) if user_ids.dtype.kind == "U" else np.arange(20)
    factors = make_factors(items=20, users=len(user_ids), user_ids=user_ids, item_ids=items)
    found = cold_user(factors)
    assert found not in user_ids.tolist()
    assert isinstance(found, str if user_ids.dtype.kind == "U" else int)


def test_a_query_is_warmed_for_a_cold_user_and_for_some_who_are_treated() -> None:
    """The head of each of them is wanted whole, and nobody whom the flag does not treat is drawn."""
    drawn, others = drawn_users(FACTORS, HALF, 5)
    assert all(decide(HALF, user).arm is Arm.TREATMENT for user in (*drawn, *others))
    assert len(drawn) == 5
    assert not set(drawn) & set(others)
    assert drawn_users(FACTORS, HALF, 5) == (drawn, others)
    asking = reader(everyone_treated(HALF))
    wanted = Wanted()
    want_queries(wanted, asking, QUERIES, [cold_user(FACTORS), *drawn], silent)
    for user in (cold_user(FACTORS), *drawn):
        head = asking.read(RecommendRequest(user, query=QUERIES[0]))
        assert isinstance(head, Head)
        assert set(head.texts) <= set(wanted.texts[head.intent])


def test_coverage_is_the_share_of_others_heads_that_is_wanted() -> None:
    """All of it for those who were drawn, some of it for others, nothing without a user to ask for."""
    drawn, others = drawn_users(FACTORS, everyone_treated(HALF), 5)
    asking = reader(everyone_treated(HALF))
    wanted = Wanted()
    want_queries(wanted, asking, QUERIES, drawn, silent)
    assert coverage(wanted, asking, QUERIES, drawn) == 1
    assert 0.3 < (coverage(wanted, asking, QUERIES, others) or 0) < 1
    assert coverage(wanted, asking, QUERIES, []) is None
    assert len(others) <= SAMPLED_HEADS


def test_progress_is_told_as_it_is_made() -> None:
    """One call for each user and each query, with the total."""
    told: list[tuple[int, int]] = []
    want_users(Wanted(), reader(HALF), [1, 2], lambda *progress: told.append(progress))
    want_queries(Wanted(), reader(HALF), QUERIES, [1], lambda *progress: told.append(progress))
    assert told == [(1, 2), (2, 2), (1, 2), (2, 2)]
