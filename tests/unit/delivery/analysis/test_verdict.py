"""The judge of a rollout."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.delivery.analysis.comparison import compare
from flagrank.delivery.analysis.counts import ArmCounts
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import MEASURES, SLOWER, Limit, Metric
from flagrank.delivery.analysis.verdict import Outcome, decide, judge
from tests.ramps import (
    HEALTHY,
    NOTHING_TOLERATED,
    Traffic,
    arm_counts,
    arrivals,
    evidences,
    share_of_failed_ramps,
    simulate,
)

LIMITS = Limits(
    {
        Metric.ERRORS: Limit(absolute=0.02, ceiling=0.05),
        Metric.P95: Limit(absolute=320, ceiling=640),
        Metric.COST: Limit(ceiling=1000),
        Metric.CLICKS: Limit(absolute=0.05),
    }
)
RANK = {Outcome.PASS: 0, Outcome.INCONCLUSIVE: 1, Outcome.FAIL: 2}


def arms(traffic: Traffic = HEALTHY, treated: int = 6000, control: int = 18_000) -> tuple[ArmCounts, ArmCounts]:
    """A treated arm with this traffic, and a control that asks no LLM."""
    rng = np.random.default_rng(5)
    return arm_counts(rng, traffic, treated), arm_counts(rng, Traffic(rerank=False), control)


def changed(arm: ArmCounts, **counts: float) -> ArmCounts:
    """The arm with other counts."""
    return ArmCounts(**{**arm, **counts})


def grown(arm: ArmCounts, growth: float) -> ArmCounts:
    """The same shares of more requests, up to rounding."""
    return ArmCounts(**{name: round(count * growth) for name, count in arm.items()})


def with_limits(limits: dict[Metric, Limit]) -> Limits:
    """The limits of the tests, with these in place of their own."""
    return replace(LIMITS, by_metric={**LIMITS.by_metric, **limits})


def failed(treatment: ArmCounts, control: ArmCounts, limits: Limits = LIMITS, percent: float = 25) -> set[Metric]:
    return {result.metric for result in judge(treatment, control, limits, percent).results if result.outcome == "fail"}


def arm_of(requests: int, attempted: float, cost: float, parts: list[float], slower: list[float]) -> ArmCounts:
    """An arm of so many requests, of which the others are shares, 0..1."""
    asked = int(requests * attempted)
    users, errors, fallbacks, timeouts, clicked = parts
    return ArmCounts(
        requests=requests,
        users=int(users * requests),
        errors=int(errors * requests) // 30,
        attempted=asked,
        fallbacks=int(fallbacks * asked),
        timeouts=int(timeouts * asked),
        **SLOWER.by_name(int(share * requests) for share in sorted(slower, reverse=True)),
        cost_micro_usd=cost * requests,
        cost_micro_usd_squared=cost * requests * 4000,
        shown=requests,
        clicked=int(clicked * requests),
    )


SHARE = st.floats(0, 1)
ARMS = st.builds(
    arm_of,
    requests=st.sampled_from([0, 1, 90, 400, 5000]),
    attempted=st.sampled_from([0.0, 0.5, 1.0]),
    cost=st.sampled_from([0.0, 90.0, 2000.0]),
    parts=st.lists(SHARE, min_size=5, max_size=5),
    slower=st.lists(SHARE, min_size=len(SLOWER.rungs), max_size=len(SLOWER.rungs)),
)


def test_a_healthy_step_passes() -> None:
    """With enough requests and nothing wrong every metric passes."""
    verdict = judge(*arms(), LIMITS, 25)
    assert verdict.outcome is Outcome.PASS
    assert {result.metric for result in verdict.results} == set(Metric) - {Metric.JUDGED, Metric.WARMING}


def test_the_share_that_was_judged_is_held_against_its_floor_alone() -> None:
    """Control asks for no rerank, so only a floor can be kept; few requests prove neither side."""
    floor = with_limits({Metric.JUDGED: Limit(floor=0.85)})
    treatment, control = arms()
    outcomes = {}
    for attempted, judged in ((4000, 3800), (4000, 2000), (40, 34)):
        results = judge(changed(treatment, attempted=attempted, judged=judged), control, floor, 25).results
        (result,) = (entry for entry in results if entry.metric is Metric.JUDGED)
        assert result.low is not None
        assert result.high is not None
        assert 0 <= result.low <= judged / attempted <= result.high <= 1
        assert (result.limit, result.is_floor) == (0.85, True)
        outcomes[judged] = result.outcome
        assert "at least wanted" in result.sentence
    assert outcomes == {3800: Outcome.PASS, 2000: Outcome.FAIL, 34: Outcome.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("traffic", "figure"),
    [
        (Traffic(errors=0.08), Metric.ERRORS),
        (Traffic(fallbacks=0.2), Metric.FALLBACKS),
        (Traffic(timeouts=0.3), Metric.TIMEOUTS),
        (Traffic(median_ms=360.0), Metric.P95),
        (Traffic(cost_micro_usd=2000.0), Metric.COST),
        (Traffic(clicks=0.02), Metric.CLICKS),
    ],
)
def test_a_regression_fails_by_its_own_figure(traffic: Traffic, figure: Metric) -> None:
    """Each fault alone fails the step. Only its own metric fails, and the sentence names it."""
    treatment, control = arms(traffic)
    verdict = judge(treatment, control, LIMITS, 25)
    assert verdict.outcome is Outcome.FAIL
    assert {result.metric for result in verdict.reasons} == {figure}
    assert all(result.sentence.startswith(figure) for result in verdict.reasons)


def test_no_data_is_no_verdict() -> None:
    """Without a request there is nothing to judge: the step is held, with the reason."""
    verdict = judge(ArmCounts(), ArmCounts(), LIMITS, 25)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "no data from treatment and control" in verdict.results[0].sentence
    assert verdict.more_requests is None


def test_one_arm_alone_is_held() -> None:
    """A step with data in one arm only does not pass, and the result names the other arm."""
    treatment, control = arms()
    without_control = judge(treatment, ArmCounts(), LIMITS, 25)
    without_treatment = judge(ArmCounts(), control, LIMITS, 25)
    assert without_control.outcome is without_treatment.outcome is Outcome.INCONCLUSIVE
    assert "no data from control" in without_control.results[0].sentence
    assert "no data from treatment" in without_treatment.results[0].sentence


def test_a_ceiling_needs_no_control() -> None:
    """A value beyond its ceiling fails even without data from control."""
    treatment, _ = arms(Traffic(fallbacks=0.6))
    assert failed(treatment, ArmCounts()) == {Metric.FALLBACKS}


def test_everyone_treated_is_judged_by_ceilings() -> None:
    """At 100 percent no control is needed: a step within the ceilings passes, and one beyond a ceiling fails."""
    assert judge(arms()[0], ArmCounts(), LIMITS, 100).outcome is Outcome.PASS
    assert failed(arms(Traffic(timeouts=0.7))[0], ArmCounts(), percent=100) == {Metric.TIMEOUTS}


def test_a_wrong_split_never_passes() -> None:
    """A healthy step whose users are not split as asked is held, for that reason alone."""
    treatment, control = arms()
    verdict = judge(changed(treatment, users=2300), changed(control, users=7700), LIMITS, 25)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert [result.metric for result in verdict.reasons] == [Metric.SPLIT]


def test_a_fault_outranks_a_wrong_split() -> None:
    """A fault fails whatever the split is, since going back is always safe."""
    treatment, control = arms(Traffic(fallbacks=0.5))
    assert judge(changed(treatment, users=2300), changed(control, users=7700), LIMITS, 25).outcome is Outcome.FAIL


def test_a_minimum_is_awaited() -> None:
    """A step passes only with its minimum in each arm, however good it is, and the result says how much is missing."""
    treatment, control = arms()
    verdict = judge(treatment, control, replace(LIMITS, min_requests=8000), 25)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.more_requests == 2000


def test_a_hold_ends_when_it_says() -> None:
    """The judge decides after as many more requests as it asked for, if the shares stay as they were."""
    treatment, control = arms(treated=400, control=1200)
    more = judge(treatment, control, LIMITS, 25).more_requests
    assert more is not None
    growth = 1 + more / treatment.requests
    assert judge(grown(treatment, growth), grown(control, growth), LIMITS, 25).outcome is not Outcome.INCONCLUSIVE


def test_a_relative_limit_grows_with_control() -> None:
    """A limit relative to control tolerates more where control itself is worse."""
    limits = with_limits({Metric.ERRORS: Limit(absolute=0.0, relative=0.5)})
    treatment, control = arms()
    treatment = changed(treatment, errors=480)
    assert failed(treatment, changed(control, errors=300), limits) == {Metric.ERRORS}
    assert failed(treatment, changed(control, errors=1100), limits) == set()


def test_a_metric_without_a_limit_is_not_compared() -> None:
    """It has no result."""
    verdict = judge(*arms(), with_limits({Metric.CLICKS: Limit(), Metric.COST: Limit()}), 25)
    assert not {result.metric for result in verdict.results} & {Metric.CLICKS, Metric.COST}


def test_clicks_are_not_compared_with_nothing() -> None:
    """If control showed no list, nobody knows what would have been clicked: clicks neither fail nor pass."""
    treatment, control = arms()
    verdict = judge(treatment, changed(control, shown=0, clicked=0), LIMITS, 25)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert {result.metric for result in verdict.reasons} == {Metric.CLICKS}


def test_overstated_squares_make_nobody_surer() -> None:
    """A source that overstates the squares of costs can turn a fail into a hold, and never the other way round."""
    treatment, control = arms(Traffic(cost_micro_usd=2000.0))
    assert failed(treatment, control) == {Metric.COST}
    vague = changed(treatment, cost_micro_usd_squared=treatment["cost_micro_usd"] * 1e7)
    assert Metric.COST not in failed(vague, control)


@settings(deadline=None)
@given(treatment=ARMS, control=ARMS, more=st.integers(1, 4000), has_control=st.booleans())
def test_more_failures_never_help(treatment: ArmCounts, control: ArmCounts, more: int, has_control: bool) -> None:
    """No outcome gets better by more treated errors, fallbacks, timeouts or slow requests, or by fewer clicks."""
    slower = np.minimum(SLOWER.of(treatment) + more, treatment.requests)
    worse = changed(
        treatment,
        errors=min(treatment["errors"] + more, treatment.requests),
        fallbacks=min(treatment["fallbacks"] + more, treatment["attempted"]),
        timeouts=min(treatment["timeouts"] + more, treatment["attempted"]),
        **SLOWER.by_name(slower.tolist()),
        clicked=max(treatment["clicked"] - more, 0),
    )
    before, after = (compare(arm, control if has_control else None, LIMITS) for arm in (treatment, worse))
    for first, second in zip(before, after, strict=True):
        assert RANK[decide(second, LIMITS)] >= RANK[decide(first, LIMITS)]


@settings(deadline=None)
@given(arm=ARMS)
def test_equal_arms_never_differ(arm: ArmCounts) -> None:
    """Two arms with the same counts fail no comparison, even if nothing is tolerated."""
    limits = Limits({measure.metric: Limit(absolute=0.0) for measure in MEASURES})
    comparisons = compare(arm, arm, limits)
    assert len(comparisons) == len(MEASURES)
    assert Outcome.FAIL not in {decide(comparison, limits) for comparison in comparisons}


@settings(max_examples=50, deadline=None)
@given(treatment=ARMS, control=ARMS, percent=st.floats(0, 100))
def test_every_verdict_has_its_reasons(treatment: ArmCounts, control: ArmCounts, percent: float) -> None:
    """The verdict is the worst result and has a reason, and no passed metric can be beyond its limit."""
    verdict = judge(treatment, control, LIMITS, percent)
    assert RANK[verdict.outcome] == max(RANK[result.outcome] for result in verdict.results)
    assert verdict.reasons
    assert all(result.sentence for result in verdict.results)
    judged = [result for result in verdict.results if result.metric not in (Metric.REQUESTS, Metric.SPLIT)]
    has_control = percent < 100 and control.requests > 0
    # what holds for every comparison holds for the verdict
    comparisons = compare(treatment, control if has_control else None, LIMITS)
    assert [result.outcome for result in judged] == [decide(comparison, LIMITS) for comparison in comparisons]
    for result in judged:
        if result.outcome is Outcome.PASS and result.high is not None and result.limit is not None:
            assert result.high <= result.limit * (1 + 1e-9)


def test_what_is_no_percentage_is_refused() -> None:
    """A split beyond 0..100 is a mistake of the caller."""
    with pytest.raises(ValueError, match="percentage"):
        judge(ArmCounts(), ArmCounts(), LIMITS, 101)


@pytest.mark.rollout
def test_looking_every_minute_keeps_the_promise() -> None:
    """With a look each minute and nothing tolerated, no more of 1,000 ramps of equal arms fail than was promised."""
    failed_share = share_of_failed_ramps(np.random.default_rng(11), NOTHING_TOLERATED, ramps=1000, minutes=20)
    assert failed_share <= NOTHING_TOLERATED.false_fail


def test_a_step_at_its_limit_seldom_passes() -> None:
    """With a look each minute, no metric passes in more of 1,000 steps exactly at a limit than was promised."""
    rng = np.random.default_rng(12)
    treated, controls = arrivals(rng, 5, ramps=1000, minutes=30)
    for evidence in evidences(simulate(rng, HEALTHY, treated), simulate(rng, HEALTHY, controls)):
        passed = (evidence.below(0.0) >= LIMITS.pass_log).any(axis=1)
        assert passed.mean() <= LIMITS.false_pass
