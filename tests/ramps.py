"""Made-up ramps: the counts that two arms would show, minute by minute, in a thousand ramps at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flagrank.delivery.analysis.counts import LATENCY_LADDER_MS, ArmFigures
from flagrank.delivery.analysis.eprocess import Evidence, MeanExcess, Moments, Share, ShareExcess
from flagrank.delivery.analysis.limits import Limit, Limits
from flagrank.delivery.analysis.measures import LADDER, P95_TAIL
from flagrank.delivery.analysis.quantiles import QuantileExcess

STEPS_PERCENT = (1.0, 5.0, 25.0, 50.0)
REQUESTS_A_SECOND = 20
LATENCY_SPREAD = 0.5
# most requests cost nothing, since the cache knows; a few cost ten times the mean
COSTS = np.array([0.0, 0.4, 1.0, 2.0, 10.0])
COST_SHARES = np.array([0.6, 0.15, 0.1, 0.11, 0.04])

type Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an arm is like. Without `rerank` nothing is asked of an LLM, and the baseline takes a few ms."""

    errors: float = 0.001
    fallbacks: float = 0.02
    timeouts: float = 0.01
    median_ms: float = 120.0
    cost_micro_usd: float = 400.0
    clicks: float = 0.1
    rerank: bool = True


HEALTHY = Traffic()

NONE = Limit(absolute=0.0)
NOTHING_TOLERATED = Limits(
    errors=NONE, fallbacks=NONE, timeouts=NONE, p95_ms=NONE, cost_micro_usd=NONE, steps=len(STEPS_PERCENT)
)


@dataclass(frozen=True, slots=True)
class Minutes:
    """Counts of one arm, (ramps, minutes), cumulative; `slower` has the ladder as its last axis."""

    requests: Counts
    errors: Counts
    attempted: Counts
    fallbacks: Counts
    timeouts: Counts
    slower: Counts
    cost: npt.NDArray[np.float64]
    cost_squared: npt.NDArray[np.float64]
    clicked: Counts

    def figures(self, ramp: int, minute: int) -> ArmFigures:
        """What the judge is told at one look; a user asks three times."""
        at = (ramp, minute)
        return ArmFigures(
            requests=int(self.requests[at]),
            users=int(self.requests[at]) // 3,
            errors=int(self.errors[at]),
            attempted=int(self.attempted[at]),
            fallbacks=int(self.fallbacks[at]),
            timeouts=int(self.timeouts[at]),
            slower=tuple(self.slower[at].tolist()),
            cost_micro_usd=float(self.cost[at]),
            cost_micro_usd_squared=float(self.cost_squared[at]),
            shown=int(self.requests[at]),
            clicked=int(self.clicked[at]),
        )


def simulate(rng: np.random.Generator, traffic: Traffic, requests: Counts) -> Minutes:
    """The cumulative counts of an arm that gets so many requests in each ramp and minute."""
    kinds = rng.multinomial(requests, COST_SHARES).cumsum(axis=1)
    costs = COSTS * traffic.cost_micro_usd / (COSTS @ COST_SHARES) * traffic.rerank
    return Minutes(
        requests=requests.cumsum(axis=1),
        errors=rng.binomial(requests, traffic.errors).cumsum(axis=1),
        attempted=requests.cumsum(axis=1) * traffic.rerank,
        fallbacks=rng.binomial(requests, traffic.fallbacks * traffic.rerank).cumsum(axis=1),
        timeouts=rng.binomial(requests, traffic.timeouts * traffic.rerank).cumsum(axis=1),
        slower=_slower(rng, traffic, requests).cumsum(axis=1),
        cost=kinds @ costs,
        cost_squared=kinds @ costs**2,
        clicked=rng.binomial(requests, traffic.clicks).cumsum(axis=1),
    )


def arm_figures(rng: np.random.Generator, traffic: Traffic, requests: int) -> ArmFigures:
    """One arm after so many requests."""
    return simulate(rng, traffic, np.array([[requests]])).figures(0, 0)


def arrivals(rng: np.random.Generator, percent: float, ramps: int, minutes: int) -> tuple[Counts, Counts]:
    """Requests of both arms in each ramp and minute."""
    rate = 60 * REQUESTS_A_SECOND
    shape = (ramps, minutes)
    return rng.poisson(rate * percent / 100, shape), rng.poisson(rate * (1 - percent / 100), shape)


def evidences(treatment: Minutes, control: Minutes) -> list[Evidence]:
    """What the judge weighs, for every ramp and minute: errors, fallbacks, timeouts, p95, cost."""

    def share(arm: Minutes, part: Counts) -> Share:
        return Share(part.astype(np.float64), arm.requests.astype(np.float64))

    def slower(arm: Minutes) -> Share:
        return Share(
            arm.slower.astype(np.float64), np.repeat(arm.requests[..., None], len(LADDER), -1).astype(np.float64)
        )

    def cost(arm: Minutes) -> Moments:
        return Moments(arm.requests.astype(np.float64), arm.cost, arm.cost_squared)

    return [
        ShareExcess(share(treatment, treatment.errors), share(control, control.errors)),
        ShareExcess(share(treatment, treatment.fallbacks), share(control, control.fallbacks)),
        ShareExcess(share(treatment, treatment.timeouts), share(control, control.timeouts)),
        QuantileExcess(LADDER, P95_TAIL, slower(treatment), slower(control)),
        MeanExcess(cost(treatment), cost(control)),
    ]


def share_of_failed_ramps(rng: np.random.Generator, limits: Limits, ramps: int, minutes: int) -> float:
    """Of so many ramps whose arms are equal, the share that fails at any look of any step, nothing tolerated."""
    failed = np.zeros(ramps, bool)
    for percent in STEPS_PERCENT:
        treated, controls = arrivals(rng, percent, ramps, minutes)
        for evidence in evidences(simulate(rng, HEALTHY, treated), simulate(rng, HEALTHY, controls)):
            failed |= (evidence.above(0.0) >= limits.fail_log).any(axis=1)
    return float(failed.mean())


def _slower(rng: np.random.Generator, traffic: Traffic, requests: Counts) -> Counts:
    median_ms = traffic.median_ms if traffic.rerank else 8.0
    sample = np.exp(np.random.default_rng(0).normal(np.log(median_ms), LATENCY_SPREAD, 100_000))
    edges = [0.0, *LATENCY_LADDER_MS, np.inf]
    cells = np.histogram(sample, edges)[0] / len(sample)
    below = rng.multinomial(requests, cells)[..., :-1].cumsum(axis=-1)
    return np.asarray(requests[..., None] - below)
