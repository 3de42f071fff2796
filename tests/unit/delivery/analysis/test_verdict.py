"""The judge of a rollout."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.delivery.analysis.counts import LATENCY_LADDER_MS, ArmFigures
from flagrank.delivery.analysis.limits import Limit, Limits
from flagrank.delivery.analysis.measures import Metric
from flagrank.delivery.analysis.verdict import Outcome, judge
from tests.ramps import (
    HEALTHY,
    NOTHING_TOLERATED,
    Traffic,
    arm_figures,
    arrivals,
    evidences,
    share_of_failed_ramps,
    simulate,
)

LIMITS = Limits(
    errors=Limit(absolute=0.02, ceiling=0.05),
    p95_ms=Limit(absolute=320, ceiling=640),
    cost_micro_usd=Limit(ceiling=1000),
    clicks=Limit(absolute=0.05),
)
RANK = {Outcome.PASS: 0, Outcome.INCONCLUSIVE: 1, Outcome.FAIL: 2}


def arms(traffic: Traffic = HEALTHY, treated: int = 6000, control: int = 18_000) -> tuple[ArmFigures, ArmFigures]:
    """An arm treated to the traffic, and a control that asks no LLM."""
    rng = np.random.default_rng(5)
    return arm_figures(rng, traffic, treated), arm_figures(rng, Traffic(rerank=False), control)


def grown(arm: ArmFigures, growth: float) -> ArmFigures:
    """The same shares of more requests, up to rounding."""
    figures = {
        name: round(value * growth) if isinstance(value, int) else value * growth
        for name, value in asdict(arm).items()
        if name != "slower"
    }
    return ArmFigures(**figures, slower=tuple(round(slower * growth) for slower in arm.slower))


def failed(treatment: ArmFigures, control: ArmFigures, limits: Limits = LIMITS, percent: float = 25) -> set[Metric]:
    return {
        finding.figure for finding in judge(treatment, control, limits, percent).findings if finding.outcome == "fail"
    }


@st.composite
def figures(draw: st.DrawFn) -> ArmFigures:
    requests = draw(st.sampled_from([0, 1, 90, 400, 5000]))
    attempted = draw(st.sampled_from([0, requests // 2, requests]))
    slower = sorted((draw(st.integers(0, requests)) for _ in LATENCY_LADDER_MS), reverse=True)
    cost = draw(st.sampled_from([0.0, 90.0, 2000.0])) * requests
    return ArmFigures(
        requests=requests,
        users=draw(st.integers(0, requests)),
        errors=draw(st.integers(0, requests)) // 30,
        attempted=attempted,
        fallbacks=draw(st.integers(0, attempted)),
        timeouts=draw(st.integers(0, attempted)),
        slower=tuple(slower),
        cost_micro_usd=cost,
        cost_micro_usd_squared=cost * 4000,
        shown=requests,
        clicked=draw(st.integers(0, requests)),
    )


def test_a_healthy_step_passes() -> None:
    """With enough requests and nothing wrong every figure passes, and says so."""
    verdict = judge(*arms(), LIMITS, 25)
    assert verdict.outcome is Outcome.PASS
    assert {finding.figure for finding in verdict.findings} == set(Metric)


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
    """Each fault alone fails the step, no other figure is blamed, and the sentence names it."""
    treatment, control = arms(traffic)
    verdict = judge(treatment, control, LIMITS, 25)
    assert verdict.outcome is Outcome.FAIL
    assert {finding.figure for finding in verdict.reasons} == {figure}
    assert all(finding.sentence.startswith(figure) for finding in verdict.reasons)


def test_no_data_is_no_verdict() -> None:
    """Without a request there is nothing to judge: hold, with the reason."""
    verdict = judge(ArmFigures(), ArmFigures(), LIMITS, 25)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "no data from treatment and control" in verdict.findings[0].sentence
    assert verdict.more_requests is None


def test_one_arm_alone_is_held() -> None:
    """Data in one arm only cannot pass, and it is said which arm is silent."""
    treatment, control = arms()
    without_control = judge(treatment, ArmFigures(), LIMITS, 25)
    without_treatment = judge(ArmFigures(), control, LIMITS, 25)
    assert without_control.outcome is without_treatment.outcome is Outcome.INCONCLUSIVE
    assert "no data from control" in without_control.findings[0].sentence
    assert "no data from treatment" in without_treatment.findings[0].sentence


def test_a_ceiling_needs_no_control() -> None:
    """What is beyond its ceiling fails even while control is silent."""
    treatment, _ = arms(Traffic(fallbacks=0.6))
    assert failed(treatment, ArmFigures()) == {Metric.FALLBACKS}


def test_everyone_treated_is_judged_by_ceilings() -> None:
    """At 100 percent no control is missed: within the ceilings passes, beyond one fails."""
    assert judge(arms()[0], ArmFigures(), LIMITS, 100).outcome is Outcome.PASS
    assert failed(arms(Traffic(timeouts=0.7))[0], ArmFigures(), percent=100) == {Metric.TIMEOUTS}


def test_a_wrong_split_never_passes() -> None:
    """A healthy step whose users are not split as asked is held, by that finding alone."""
    treatment, control = arms()
    verdict = judge(replace(treatment, users=2300), replace(control, users=7700), LIMITS, 25)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert [finding.figure for finding in verdict.reasons] == [Metric.SPLIT]


def test_a_fault_outranks_a_wrong_split() -> None:
    """Going back is safe whatever the split is: a fault fails all the same."""
    treatment, control = arms(Traffic(fallbacks=0.5))
    assert judge(replace(treatment, users=2300), replace(control, users=7700), LIMITS, 25).outcome is Outcome.FAIL


def test_a_minimum_is_awaited() -> None:
    """However good the figures, a step passes only with its minimum in each arm, and says what is lacking."""
    treatment, control = arms()
    verdict = judge(treatment, control, replace(LIMITS, min_requests=8000), 25)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.more_requests == 2000


def test_a_hold_ends_when_it_says() -> None:
    """With as many more requests as it asked for, and shares as they were, the judge decides."""
    treatment, control = arms(treated=400, control=1200)
    more = judge(treatment, control, LIMITS, 25).more_requests
    assert more is not None
    growth = 1 + more / treatment.requests
    assert judge(grown(treatment, growth), grown(control, growth), LIMITS, 25).outcome is not Outcome.INCONCLUSIVE


def test_a_relative_limit_grows_with_control() -> None:
    """What is tolerated as a part of control is more where control itself is worse."""
    limits = replace(LIMITS, errors=Limit(absolute=0.0, relative=0.5))
    treatment, control = arms()
    treatment = replace(treatment, errors=480)
    assert failed(treatment, replace(control, errors=300), limits) == {Metric.ERRORS}
    assert failed(treatment, replace(control, errors=1100), limits) == set()


def test_a_limit_of_nothing_is_not_compared() -> None:
    """A figure without a limit has no finding."""
    verdict = judge(*arms(), replace(LIMITS, clicks=Limit(), cost_micro_usd=Limit()), 25)
    assert not {finding.figure for finding in verdict.findings} & {Metric.CLICKS, Metric.COST}


def test_clicks_are_not_compared_with_nothing() -> None:
    """Where control shows nothing, nobody knows what it would have been clicked: no loss, and no pass either."""
    treatment, control = arms()
    verdict = judge(treatment, replace(control, shown=0, clicked=0), LIMITS, 25)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert {finding.figure for finding in verdict.reasons} == {Metric.CLICKS}


def test_overstated_squares_make_nobody_surer() -> None:
    """Without the squares, the largest cost times the sum stands in: a fail may become a hold, no hold a verdict."""
    treatment, control = arms(Traffic(cost_micro_usd=2000.0))
    assert failed(treatment, control) == {Metric.COST}
    vague = replace(treatment, cost_micro_usd_squared=treatment.cost_micro_usd * 1e7)
    assert Metric.COST not in failed(vague, control)


@settings(deadline=None)
@given(treatment=figures(), control=figures(), more=st.integers(1, 4000), percent=st.sampled_from([1.0, 25.0, 100.0]))
def test_more_failures_never_help(treatment: ArmFigures, control: ArmFigures, more: int, percent: float) -> None:
    """More treated errors, fallbacks, timeouts, slow requests or fewer clicks never make a verdict better."""
    worse = replace(
        treatment,
        errors=min(treatment.errors + more, treatment.requests),
        fallbacks=min(treatment.fallbacks + more, treatment.attempted),
        timeouts=min(treatment.timeouts + more, treatment.attempted),
        slower=tuple(min(slower + more, treatment.requests) for slower in treatment.slower),
        clicked=max(treatment.clicked - more, 0),
    )
    before, after = (judge(arm, control, LIMITS, percent).outcome for arm in (treatment, worse))
    assert RANK[after] >= RANK[before]


@settings(deadline=None)
@given(arm=figures())
def test_equal_arms_never_differ(arm: ArmFigures) -> None:
    """Two arms with the same counts fail no comparison, even where nothing is tolerated."""
    none = Limit(absolute=0.0)
    limits = Limits(errors=none, fallbacks=none, timeouts=none, p95_ms=none, cost_micro_usd=none, clicks=none)
    assert failed(arm, arm, limits, 50) == set()


@settings(max_examples=50, deadline=None)
@given(treatment=figures(), control=figures(), percent=st.floats(0, 100))
def test_every_verdict_has_its_reasons(treatment: ArmFigures, control: ArmFigures, percent: float) -> None:
    """Whatever the counts: a verdict, at least one finding behind it, and nothing passes beyond a limit."""
    verdict = judge(treatment, control, LIMITS, percent)
    assert verdict.reasons
    assert all(finding.sentence for finding in verdict.findings)
    for finding in verdict.findings:
        if finding.outcome is Outcome.PASS and finding.high is not None and finding.limit is not None:
            assert finding.high <= finding.limit * (1 + 1e-9)


@pytest.mark.parametrize(
    "wrong",
    [lambda: ArmFigures(requests=-1), lambda: ArmFigures(slower=(1, 2)), lambda: ArmFigures(cost_micro_usd=math.nan)],
)
def test_what_is_no_count_is_refused(wrong: Callable[[], ArmFigures]) -> None:
    """Negative counts, a ladder of another length and NaN are mistakes of the caller."""
    with pytest.raises(ValueError, match="not counts"):
        wrong()


@pytest.mark.parametrize(
    "wrong", [lambda: Limits(false_fail=0.0), lambda: Limits(steps=0), lambda: Limits(clicks=Limit(ceiling=0.1))]
)
def test_what_is_no_limit_is_refused(wrong: Callable[[], Limits]) -> None:
    """Chances beyond 0..1, no steps and a ceiling for clicks are mistakes of the caller."""
    with pytest.raises(ValueError, match=r"chance|steps"):
        wrong()


def test_what_is_no_percentage_is_refused() -> None:
    """A split beyond 0..100 is a mistake of the caller."""
    with pytest.raises(ValueError, match="percentage"):
        judge(ArmFigures(), ArmFigures(), LIMITS, 101)


@pytest.mark.rollout
def test_looking_every_minute_keeps_the_promise() -> None:
    """Of 1,000 ramps of equal arms with a look each minute and nothing tolerated, no more fail than was promised."""
    failed_share = share_of_failed_ramps(np.random.default_rng(11), NOTHING_TOLERATED, ramps=1000, minutes=20)
    assert failed_share <= NOTHING_TOLERATED.false_fail


def test_a_step_at_its_limit_seldom_passes() -> None:
    """Of 1,000 steps exactly at a limit, looked at each minute, no figure passes in more than was promised."""
    rng = np.random.default_rng(12)
    treated, controls = arrivals(rng, 5, ramps=1000, minutes=30)
    for evidence in evidences(simulate(rng, HEALTHY, treated), simulate(rng, HEALTHY, controls)):
        passed = (evidence.below(0.0) >= LIMITS.pass_log).any(axis=1)
        assert passed.mean() <= LIMITS.false_pass
