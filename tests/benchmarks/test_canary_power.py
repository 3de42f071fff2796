"""How often the judge is wrong and how fast it is right, beside a z-test: `uv run pytest tests/benchmarks -s`."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from flagrank.delivery.analysis.comparison import compare
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.eprocess import Float64Array, split_p_value
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import LATENCY_LADDER_MS, SLOWER, Limit, Metric
from flagrank.delivery.analysis.proportions import Proportion, ProportionExcess
from flagrank.delivery.analysis.verdict import Outcome, decide, judge
from flagrank.delivery.forecast import requests_for_a_pass
from tests.ramps import (
    HEALTHY,
    NOTHING_TOLERATED,
    REQUESTS_A_SECOND,
    STEPS_PERCENT,
    Minutes,
    Traffic,
    arm_counts,
    arrivals,
    counts_at,
    share_of_failed_ramps,
    simulate,
)

LIMITS = Limits(
    {
        Metric.ERRORS: Limit(absolute=0.02, ceiling=0.05),
        Metric.P95: Limit(absolute=320, ceiling=640),
        Metric.COST: Limit(ceiling=1000),
    }
)
BASELINE = replace(HEALTHY, rerank=False)
# LIMITS allow a p95 up to this rung, 320 ms above the baseline
SLOW = SLOWER.counts[LATENCY_LADDER_MS.index(453)].name
# a one-sided test calls a difference significant at 5 % above this z-score
Z_5_PERCENT = 1.645
REGRESSIONS = {
    "fallbacks .02 to .2": Traffic(fallbacks=0.2),
    "p95 tripled": Traffic(median_ms=3 * HEALTHY.median_ms),
    "timeouts .01 to .3": Traffic(timeouts=0.3),
    "cost x 5": Traffic(cost_micro_usd=5 * HEALTHY.cost_micro_usd),
}


def z_of_shares(treated: Proportion, control: Proportion, margin: float = 0.0) -> Float64Array:
    """The usual two-sample z-score; 0 where nothing varies."""
    variance = sum(arm.rate * (1 - arm.rate) / np.maximum(arm.trials, 1.0) for arm in (treated, control))
    excess = treated.rate - control.rate - margin
    return np.where(variance > 0, excess / np.sqrt(np.maximum(variance, 1e-30)), 0.0)


def z_scores(treatment: Minutes, control: Minutes) -> list[Float64Array]:
    """The z-scores of a fixed-horizon test, for errors, fallbacks, timeouts, slow requests and cost."""
    scores = [
        z_of_shares(Proportion(treatment[part], treatment["requests"]), Proportion(control[part], control["requests"]))
        for part in ("errors", "fallbacks", "timeouts", SLOW)
    ]
    means = [arm["cost_micro_usd"] / np.maximum(arm["requests"], 1) for arm in (treatment, control)]
    variance = sum(
        (arm["cost_micro_usd_squared"] / np.maximum(arm["requests"], 1) - mean**2) / np.maximum(arm["requests"], 1)
        for arm, mean in zip((treatment, control), means, strict=True)
    )
    return [*scores, (means[0] - means[1]) / np.sqrt(np.maximum(variance, 1e-30))]


def z_share_of_failed_ramps(rng: np.random.Generator, threshold: float, ramps: int, minutes: int) -> float:
    """Of ramps with equal arms, the share in which any z-score is above the threshold at any minute."""
    failed = np.zeros(ramps, bool)
    for percent in STEPS_PERCENT:
        treated, controls = arrivals(rng, percent, ramps, minutes)
        for score in z_scores(simulate(rng, HEALTHY, treated), simulate(rng, HEALTHY, controls)):
            failed |= (score > threshold).any(axis=1)
    return float(failed.mean())


def z_fails(treatment: ArmCounts, control: ArmCounts, threshold: float) -> bool:
    """Whether a z-test of the judge's limits fails the step."""
    none = Proportion(0, 1)
    pairs = [
        (Proportion(treatment["errors"], treatment.requests), Proportion(control["errors"], control.requests), 0.02),
        (Proportion(treatment["fallbacks"], treatment["attempted"]), none, 0.05),
        (Proportion(treatment["timeouts"], treatment["attempted"]), none, 0.10),
        (Proportion(treatment[SLOW], treatment.requests), none, 0.05),
    ]
    count = max(treatment.requests, 1)
    mean = treatment["cost_micro_usd"] / count
    spread = math.sqrt((treatment["cost_micro_usd_squared"] / count - mean**2) / count)
    return (
        any(float(z_of_shares(treated, other, margin)) > threshold for treated, other, margin in pairs)
        or mean - 1000 > threshold * spread
    )


def outcome(limits: Limits, percent: float, *wanted: Outcome) -> Callable[[ArmCounts, ArmCounts], bool]:
    """Whether the judge comes to one of the outcomes."""

    def is_reached(treatment: ArmCounts, control: ArmCounts) -> bool:
        decided = {decide(comparison, limits) for comparison in compare(treatment, control, limits)}
        if Outcome.FAIL not in decided and Outcome.INCONCLUSIVE in decided:
            # most looks end here; the judge would add its words, which take longer than the decision
            return Outcome.INCONCLUSIVE in wanted
        return judge(treatment, control, limits, percent).outcome in wanted

    return is_reached


def significant(treatment: ArmCounts, control: ArmCounts) -> bool:
    """Whether the z-test fails the step."""
    return z_fails(treatment, control, Z_5_PERCENT)


def minutes_until(done: Callable[[ArmCounts, ArmCounts], bool], traffic: Traffic, percent: float) -> tuple[str, int]:
    """Median (90th percentile) of the minute at which it is done, and the median of treated requests until then."""
    ramps, minutes = 60, 240
    rng = np.random.default_rng(3)
    treated, controls = arrivals(rng, percent, ramps, minutes)
    treatment, control = simulate(rng, traffic, treated), simulate(rng, BASELINE, controls)
    first = [
        next((m for m in range(minutes) if done(counts_at(treatment, r, m), counts_at(control, r, m))), minutes - 1)
        for r in range(ramps)
    ]
    exposed = [int(treatment["requests"][ramp, minute]) for ramp, minute in enumerate(first)]
    return f"{np.median(first) + 1:.0f} min ({np.percentile(first, 90) + 1:.0f})", int(np.median(exposed))


@pytest.mark.timeout(600)
def test_false_alarms() -> None:
    """The judge fails at most one in twenty of 1,000 ramps with equal arms and nothing tolerated, an hour a step."""
    rng, runs = np.random.default_rng(7), {"ramps": 1000, "minutes": 60}
    ours = share_of_failed_ramps(rng, NOTHING_TOLERATED, **runs)
    naive = z_share_of_failed_ramps(rng, Z_5_PERCENT, **runs)
    # 5 % over five measures and four steps
    corrected = z_share_of_failed_ramps(rng, 2.807, **runs)
    print(f"\nfalse fails: judge {ours:.1%}; z-test each minute {naive:.1%}, with a share each {corrected:.1%}")
    assert ours <= NOTHING_TOLERATED.false_fail < corrected


@pytest.mark.timeout(600)
def test_users_who_differ() -> None:
    """Equal arms stay within the usual limits, although users are sticky and fall back at rates of their own."""
    rng, users, ramps, minutes = np.random.default_rng(8), 20_000, 500, 60
    failed = {0.0: np.zeros(ramps, bool), 0.05: np.zeros(ramps, bool)}
    for percent in STEPS_PERCENT:
        arms = []
        for requests, arm_percent in zip(arrivals(rng, percent, ramps, minutes), (percent, 100 - percent), strict=True):
            size = (ramps, int(users * arm_percent / 100))
            activity = rng.lognormal(0, 1, size)
            rates = (activity * rng.beta(0.1, 4.9, size)).sum(axis=1) / activity.sum(axis=1)
            fallbacks = rng.binomial(requests, rates[:, None]).cumsum(axis=1)
            arms.append(Proportion(fallbacks.astype(float), requests.cumsum(axis=1).astype(float)))
        for margin, any_failed in failed.items():
            any_failed |= (ProportionExcess(arms[0], arms[1]).above(margin) >= LIMITS.fail_log).any(axis=1)
    shares = {margin: float(any_failed.mean()) for margin, any_failed in failed.items()}
    print(f"\nusers who differ (.02, sd .06): false fails {shares[0.0]:.1%} at margin 0, {shares[0.05]:.1%} at .05")
    assert shares[0.05] <= LIMITS.false_fail


@pytest.mark.timeout(600)
def test_a_wrong_split_is_seen() -> None:
    """A chi-square test at each minute of an hour sees a wrong split, with 300 new users a minute and 25 % wanted."""
    rng, ramps, minutes = np.random.default_rng(9), 1000, 60
    for treated_share in (0.25, 0.23, 0.20):
        new = rng.poisson(300, (ramps, minutes))
        treated, users = rng.binomial(new, treated_share).cumsum(axis=1), new.cumsum(axis=1)
        p_value = np.vectorize(split_p_value, otypes=[np.float64])(treated, users - treated, 0.25)
        wrong = p_value < LIMITS.false_split
        first = np.median(np.where(wrong.any(axis=1), wrong.argmax(axis=1) + 1, np.inf))
        print(
            f"\nsplit {treated_share:.0%}: blocks {wrong.mean():.2%} of looks,"
            f" {wrong.any(axis=1).mean():.1%} of steps, first at minute {first:.0f}"
        )
        assert treated_share < 0.25 or wrong.mean() < 0.002


@pytest.mark.timeout(600)
def test_regressions_are_caught() -> None:
    """At 25 % of 20 requests/s each regression fails within minutes. A z-test is a little faster."""
    for percent in (1.0, 5.0, 25.0):
        print(f"\nat {percent:g} % of 20 requests/s: median (90th percentile), treated requests until then")
        for name, traffic in REGRESSIONS.items():
            ours, exposed = minutes_until(outcome(LIMITS, percent, Outcome.FAIL), traffic, percent)
            naive, naive_exposed = minutes_until(significant, traffic, percent)
            print(f"  {name:20} judge {ours:18} {exposed:5}   z-test {naive:18} {naive_exposed:5}")
            assert percent < 25 or exposed <= 1000


@pytest.mark.timeout(600)
def test_healthy_steps_pass() -> None:
    """A step without a fault passes by itself, in minutes at 25 % and more, and after more requests than were told."""
    seen = Arms(control=arm_counts(np.random.default_rng(4), BASELINE, 3600 * REQUESTS_A_SECOND))
    for tolerated in (0.01, 0.02):
        errors = Limit(absolute=tolerated, ceiling=0.05)
        limits = replace(LIMITS, by_metric={**LIMITS.by_metric, Metric.ERRORS: errors})
        for percent in (5.0, 25.0, 50.0):
            waited, needed = minutes_until(outcome(limits, percent, Outcome.PASS, Outcome.FAIL), HEALTHY, percent)
            least, _ = requests_for_a_pass(limits, percent, seen)
            print(
                f"\nerrors within {tolerated:.0%}, {percent:g} %: passes after {waited}, {needed} treated requests;"
                f" at least {least} were told"
            )
            assert least is not None
            assert needed / 3 < least < needed
            assert percent < 25 or needed < 10_000
