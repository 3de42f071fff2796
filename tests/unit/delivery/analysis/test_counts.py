"""One arm's counts by name."""

import math
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.delivery.analysis.counts import ArmCounts
from flagrank.delivery.analysis.measures import COUNTS, SLOWER


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ArmCounts(requests=-1),
        lambda: ArmCounts(cost_micro_usd=math.nan),
        lambda: ArmCounts(reqests=1),
        lambda: ArmCounts.from_document({"requests": math.inf}),
        lambda: ArmCounts.from_document({"reqests": 1}),
    ],
)
def test_what_is_no_count_is_refused(wrong: Callable[[], ArmCounts]) -> None:
    """Negative and infinite counts, NaN, and names that nothing counts are mistakes of the caller."""
    with pytest.raises(ValueError, match="not counts"):
        wrong()


def test_a_ladder_of_another_length_is_refused() -> None:
    """Whoever counts by other rungs cannot be compared."""
    with pytest.raises(ValueError, match="argument"):
        ArmCounts.from_document({"slower": [1, 2]})


@given(st.fixed_dictionaries({count.name: st.integers(0, 2**53) for count in COUNTS}))
def test_a_document_is_read_as_it_was_written(counts: dict[str, int]) -> None:
    """Through JSON and back, with the ladder as one list."""
    arm = ArmCounts(**counts)
    document = orjson.loads(orjson.dumps(arm.document()))
    assert document["slower"] == [counts[count.name] for count in SLOWER.counts]
    assert ArmCounts.from_document(document) == arm


def test_what_is_not_given_is_zero() -> None:
    """Nobody has to name what did not happen."""
    arm = ArmCounts(requests=3)
    assert (arm.requests, arm.users, sum(arm.values())) == (3, 0, 3)
