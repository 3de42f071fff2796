"""What a step needs for a verdict, told before it is taken."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import Limit, Metric
from flagrank.delivery.analysis.verdict import Outcome, judge
from flagrank.delivery.forecast import RecentTraffic, forecast, recent_traffic, requests_for_a_pass
from flagrank.delivery.plan import RampPlan
from flagrank.flags.document import FlagDocument
from tests.ramps import Traffic, arm_counts

NOW_S = 1_800_000_000.0
CONTROL = arm_counts(np.random.default_rng(3), Traffic(rerank=False), 72_000)


@dataclass
class Busy:
    """Traffic of one request a second, begun a while ago."""

    begun_s: float
    asked: list[tuple[float, float]] = field(default_factory=list)

    def read(self, since_s: float, until_s: float) -> Arms:
        self.asked.append((since_s, until_s))
        return Arms(control=ArmCounts(requests=int(max(0.0, until_s - max(since_s, self.begun_s)))))


def like(control: ArmCounts, requests: float, **others: float) -> ArmCounts:
    """An arm of so many requests that does as control did."""
    scaled = {name: count * requests / control.requests for name, count in control.items() if name != "users"}
    return ArmCounts(**{**scaled, **others})


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1.0, 5.0, 25.0, 50.0, 75.0, 100.0]), st.sampled_from([0.005, 0.01, 0.03]))
def test_the_judge_passes_what_the_forecast_promises(percent: float, tolerated: float) -> None:
    """A step without a fault passes at the number that was told, and not with a tenth less."""
    limits = Limits({Metric.ERRORS: Limit(absolute=tolerated, ceiling=0.05)})
    needed, _ = requests_for_a_pass(limits, percent, Arms(control=CONTROL))
    assert needed is not None
    outcomes = []
    for treated in (needed, 0.9 * needed):
        control = treated * (100 - percent) / percent
        arms = like(CONTROL, treated, attempted=treated, judged=treated), like(CONTROL, control)
        outcomes.append(judge(*arms, limits, percent).outcome)
    assert outcomes == [Outcome.PASS, Outcome.INCONCLUSIVE]


def test_the_smaller_arm_has_its_minimum() -> None:
    """At 99 % it is control's."""
    tolerant = {metric: Limit() for metric in (Metric.ERRORS, Metric.FALLBACKS, Metric.TIMEOUTS, Metric.MALFORMED)}
    limits = Limits({**tolerant, Metric.P95: Limit(), Metric.COST: Limit()}, min_requests=100)
    assert requests_for_a_pass(limits, 50, Arms(control=CONTROL)) == (100, Metric.REQUESTS)
    assert requests_for_a_pass(limits, 99, Arms(control=CONTROL)) == (9900, Metric.REQUESTS)


def test_who_seldom_asks_the_llm_needs_more_requests() -> None:
    """Fallbacks are told by the requests that ask: where one in ten did of late, it takes longer."""
    limits = Limits({Metric.ERRORS: Limit(), Metric.COST: Limit()})
    always, _ = requests_for_a_pass(limits, 25, Arms(control=CONTROL))
    seldom = Arms(ArmCounts(requests=1000, attempted=100), CONTROL)
    needed, slowest = requests_for_a_pass(limits, 25, seldom)
    assert always is not None
    assert needed is not None
    assert needed > 5 * always
    assert slowest is Metric.FALLBACKS


def test_a_step_beyond_the_patience_is_named_with_a_larger_one() -> None:
    """At two requests a second 1 % takes a day, and 25 % an hour."""
    plan = RampPlan((1, 25), shadow=False)
    slow = RecentTraffic(Arms(control=like(CONTROL, 7200)), 3600.0)
    one, quarter = forecast(plan, plan.steps(FlagDocument()), slow)
    assert (one.is_in_time, quarter.is_in_time) == (False, True)
    assert one.seconds is not None
    assert quarter.seconds is not None
    assert one.seconds > 10 * 3600 > 7200 > quarter.seconds
    assert one.larger_percent is not None
    (larger,) = forecast(plan, RampPlan((one.larger_percent,), shadow=False).steps(FlagDocument()), slow)
    assert larger.is_in_time


def test_without_traffic_the_requests_are_told_and_the_time_is_not() -> None:
    """Nobody knows when they will come."""
    plan = RampPlan((25,), shadow=False)
    (step,) = forecast(plan, plan.steps(FlagDocument()), RecentTraffic(Arms(), 3600.0))
    assert step.requests is not None
    assert (step.seconds, step.is_in_time) == (None, None)


@pytest.mark.parametrize(("ago_s", "window_s"), [(9000.0, 3600.0), (1000.0, 1800.0), (100.0, 112.5)])
def test_traffic_counts_from_when_it_began(ago_s: float, window_s: float) -> None:
    """Otherwise a cloud that was started two minutes ago would seem to have hardly any."""
    busy = Busy(NOW_S - ago_s)
    recent = recent_traffic(busy, NOW_S)
    assert recent.seconds == window_s
    assert recent.per_s == pytest.approx(min(ago_s, window_s) / window_s)


def test_a_silent_hour_is_read_once() -> None:
    """CloudWatch charges for each query."""
    busy = Busy(NOW_S)
    assert recent_traffic(busy, NOW_S).per_s == 0
    assert len(busy.asked) == 1
