"""What is tolerated."""

from collections.abc import Callable

import pytest

from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import MEASURES, Limit, Metric


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Limits(false_fail=0.0),
        lambda: Limits(steps=0),
        lambda: Limits({Metric.CLICKS: Limit(ceiling=0.1)}),
        lambda: Limits({Metric.COST: Limit(floor=0.1)}),
        lambda: Limits({Metric.SPLIT: Limit(absolute=0.1)}),
    ],
)
def test_what_is_no_limit_is_refused(wrong: Callable[[], Limits]) -> None:
    """Chances beyond 0..1, no steps, bounds that a measure has not and a limit on the split are mistakes."""
    with pytest.raises(ValueError, match=r"chance|steps|ceiling|floor|no limit"):
        wrong()


def test_a_measure_without_a_limit_of_its_own_has_the_usual_one() -> None:
    """Whoever changes one limit leaves the others as they are."""
    limits = Limits({Metric.ERRORS: Limit(absolute=0.5)})
    assert limits[Metric.ERRORS] == Limit(absolute=0.5)
    assert {limits[measure.metric] == measure.limit for measure in MEASURES if measure.metric != "errors"} == {True}


def test_every_comparison_has_its_part_of_the_promise() -> None:
    """More limits and more steps each make a fail harder."""
    more_limits = Limits({Metric.CLICKS: Limit(absolute=0.1)})
    assert Limits().fail_log < more_limits.fail_log
    assert Limits(steps=5).fail_log < Limits(steps=6).fail_log
