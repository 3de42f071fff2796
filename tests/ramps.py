"""Made-up ramps: the counts that two arms would show, minute by minute, in a thousand ramps at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.delivery.analysis.counts import ArmCounts
from flagrank.delivery.analysis.eprocess import Evidence
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import LATENCY_LADDER_MS, MEASURES, SLOWER, Limit, Metric

STEPS_PERCENT = (1.0, 5.0, 25.0, 50.0)
REQUESTS_A_SECOND = 20
LATENCY_SPREAD = 0.5
# most requests cost nothing, since the cache knows; a few cost ten times the mean
COSTS = np.array([0.0, 0.4, 1.0, 2.0, 10.0])
COST_SHARES = np.array([0.6, 0.15, 0.1, 0.11, 0.04])

# these measures are simulated; no answer is malformed
SIMULATED = (Metric.ERRORS, Metric.FALLBACKS, Metric.TIMEOUTS, Metric.P95, Metric.COST)

type Counts = npt.NDArray[np.int64]
# one arm's cumulative counts by name, (ramps, minutes)
type Minutes = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Traffic:
    """How an arm behaves. Without `rerank` no request asks an LLM, and the baseline takes a few ms."""

    errors: float = 0.001
    fallbacks: float = 0.02
    timeouts: float = 0.01
    median_ms: float = 120.0
    cost_micro_usd: float = 400.0
    clicks: float = 0.1
    rerank: bool = True


HEALTHY = Traffic()

NOTHING_TOLERATED = Limits(dict.fromkeys(SIMULATED, Limit(absolute=0.0)), steps=len(STEPS_PERCENT))


def simulate(rng: np.random.Generator, traffic: Traffic, requests: Counts) -> Minutes:
    """The cumulative counts of an arm with `requests` in each ramp and minute. A user asks three times."""
    kinds = rng.multinomial(requests, COST_SHARES).cumsum(axis=1)
    costs = COSTS * traffic.cost_micro_usd / (COSTS @ COST_SHARES) * traffic.rerank
    total = requests.cumsum(axis=1)
    return {
        "requests": total,
        "users": total // 3,
        "errors": rng.binomial(requests, traffic.errors).cumsum(axis=1),
        "attempted": total * traffic.rerank,
        "fallbacks": rng.binomial(requests, traffic.fallbacks * traffic.rerank).cumsum(axis=1),
        "timeouts": rng.binomial(requests, traffic.timeouts * traffic.rerank).cumsum(axis=1),
        **_slower(rng, traffic, requests),
        "cost_micro_usd": kinds @ costs,
        "cost_micro_usd_squared": kinds @ costs**2,
        "shown": total,
        "clicked": rng.binomial(requests, traffic.clicks).cumsum(axis=1),
    }


def counts_at(minutes: Minutes, ramp: int, minute: int) -> ArmCounts:
    """What the judge is told at one look."""
    return ArmCounts(**{name: counts[ramp, minute].item() for name, counts in minutes.items()})


def arm_counts(rng: np.random.Generator, traffic: Traffic, requests: int) -> ArmCounts:
    """The counts of one arm after `requests`."""
    return counts_at(simulate(rng, traffic, np.array([[requests]])), 0, 0)


def arrivals(rng: np.random.Generator, percent: float, ramps: int, minutes: int) -> tuple[Counts, Counts]:
    """Requests of both arms in each ramp and minute."""
    rate = 60 * REQUESTS_A_SECOND
    shape = (ramps, minutes)
    return rng.poisson(rate * percent / 100, shape), rng.poisson(rate * (1 - percent / 100), shape)


def evidences(treatment: Minutes, control: Minutes) -> list[Evidence]:
    """The judge's evidence about every simulated measure, for every ramp and minute."""
    statistics = [measure.statistic for measure in MEASURES if measure.metric in SIMULATED]
    return [statistic.evidence(treatment, control, 1.0) for statistic in statistics]


def share_of_failed_ramps(rng: np.random.Generator, limits: Limits, ramps: int, minutes: int) -> float:
    """The share of ramps with equal arms, 0..1, that fail at any look of any step when nothing is tolerated."""
    failed = np.zeros(ramps, bool)
    for percent in STEPS_PERCENT:
        treated, controls = arrivals(rng, percent, ramps, minutes)
        for evidence in evidences(simulate(rng, HEALTHY, treated), simulate(rng, HEALTHY, controls)):
            failed |= (evidence.above(0.0) >= limits.fail_log).any(axis=1)
    return float(failed.mean())


def _slower(rng: np.random.Generator, traffic: Traffic, requests: Counts) -> Minutes:
    median_ms = traffic.median_ms if traffic.rerank else 8.0
    sample = np.exp(np.random.default_rng(0).normal(np.log(median_ms), LATENCY_SPREAD, 100_000))
    edges = [0.0, *LATENCY_LADDER_MS, np.inf]
    cells = np.histogram(sample, edges)[0] / len(sample)
    within = rng.multinomial(requests, cells)[..., :-1].cumsum(axis=-1)
    slower = (requests[..., None] - within).cumsum(axis=1)
    return {count.name: slower[..., rung] for rung, count in enumerate(SLOWER.counts)}
