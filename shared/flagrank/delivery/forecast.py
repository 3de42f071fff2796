"""What each step of a ramp needs for a verdict, told before it is taken. Pure but for the figures.

The judge's own evidence tells it: of a treated arm that does as well as control and meets no fault of the LLM. A real
arm does worse, so the numbers are the least that a verdict takes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flagrank.delivery.analysis.comparison import compare
from flagrank.delivery.analysis.counts import ArmCounts, Arms, CountsSource
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import ATTEMPTED, JUDGED, REQUESTS, USERS, Metric
from flagrank.delivery.plan import RampPlan
from flagrank.flags.document import FlagDocument

HOUR_S = 3600.0
SHORTEST_S = 60.0
# treated requests at which a verdict is looked for, 3 % apart
BASE = 100.0
FACTORS = np.geomspace(1.0, 1e5, 390)
# fewer requests do not tell how many of an arm ask for a rerank
TELLING = 100
# what a first step may be instead of one that takes too long
LARGER_PERCENTS = (2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 33.0, 50.0)


@dataclass(frozen=True, slots=True)
class RecentTraffic:
    """Both arms over the last `seconds`, at most an hour: since the traffic began, if that is later."""

    arms: Arms
    seconds: float

    @property
    def per_s(self) -> float:
        """Requests a second, in both arms together."""
        return (self.arms.treatment.requests + self.arms.control.requests) / self.seconds


@dataclass(frozen=True, slots=True)
class StepForecast:
    """What a step needs: treated requests, and the seconds that they take at the traffic of late.

    `requests` is None if no number is enough, and `seconds` if there is no traffic as well. `slowest` is the measure
    that takes the longest. `larger_percent` is the smallest usual step that is told in time, for one that is not.
    """

    step: FlagDocument
    requests: int | None
    seconds: float | None
    slowest: Metric
    is_in_time: bool | None
    larger_percent: float | None = None


def recent_traffic(figures: CountsSource, now_s: float) -> RecentTraffic:
    """The traffic of the last hour. Halves without a request before it are left out. Raises CloudError."""
    begin_s = now_s - HOUR_S
    arms = figures.read(begin_s, now_s)
    while now_s - begin_s > SHORTEST_S and _requests(arms):
        middle_s = (begin_s + now_s) / 2
        if _requests(figures.read(begin_s, middle_s)):
            break
        begin_s = middle_s
    return RecentTraffic(arms, now_s - begin_s)


def forecast(plan: RampPlan, steps: Iterable[FlagDocument], traffic: RecentTraffic) -> list[StepForecast]:
    """What each step needs, and whether the plan's patience suffices."""
    return [_step(plan, step, traffic) for step in steps]


def requests_for_a_pass(limits: Limits, percent: float, arms: Arms) -> tuple[int | None, Metric]:
    """How many treated requests a step without a fault takes to pass at least, and the measure that takes the longest.

    `percent` of the users are treated, and `arms` are what was seen of late. None if no number is enough.
    """
    untreated = (100 - percent) / percent
    treatment = _faultless(arms)
    control = _like_control(arms, BASE * untreated) if untreated else None
    # each arm has its minimum, whatever is compared
    least = limits.min_requests * max(1.0, 1 / untreated if untreated else 1.0)
    needed: list[tuple[float, Metric]] = [(least, Metric.REQUESTS)]
    for comparison in compare(treatment, control, limits):
        passes = comparison.evidence.grown(FACTORS).below(comparison.limit) >= limits.pass_log
        enough = BASE * float(FACTORS[passes.argmax()]) if passes.any() else math.inf
        needed.append((enough, comparison.measure.metric))
    most, slowest = max(needed, key=lambda entry: entry[0])
    return None if math.isinf(most) else math.ceil(most), slowest


def _faultless(arms: Arms) -> ArmCounts:
    treated = arms.treatment
    asked = treated[ATTEMPTED.name] / treated.requests if treated.requests >= TELLING else 1.0
    return ArmCounts(**{**_like_control(arms, BASE), ATTEMPTED.name: BASE * asked, JUDGED.name: BASE * asked})


def _like_control(arms: Arms, requests: float) -> ArmCounts:
    control = arms.control
    each = requests / control.requests if control.requests else 0.0
    rates = {name: count * each for name, count in control.items() if name != USERS.name}
    return ArmCounts(**{**rates, REQUESTS.name: requests})


def _step(plan: RampPlan, step: FlagDocument, traffic: RecentTraffic) -> StepForecast:
    patience_s = max(plan.patience_s, plan.bake_s)

    def seconds(requests: int | None, percent: float) -> float | None:
        return requests / (traffic.per_s * percent / 100) if requests is not None and traffic.per_s else None

    requests, slowest = requests_for_a_pass(plan.limits, step.percent, traffic.arms)
    takes_s = seconds(requests, step.percent)
    if requests is not None and takes_s is None:
        return StepForecast(step, requests, None, slowest, None)
    if takes_s is not None and takes_s <= patience_s:
        return StepForecast(step, requests, takes_s, slowest, is_in_time=True)
    larger = (percent for percent in LARGER_PERCENTS if percent > step.percent)
    told = (
        percent
        for percent in larger
        if (found_s := seconds(requests_for_a_pass(plan.limits, percent, traffic.arms)[0], percent)) is not None
        and found_s <= patience_s
    )
    return StepForecast(step, requests, takes_s, slowest, False, next(told, None))


def _requests(arms: Arms) -> int:
    return arms.treatment.requests + arms.control.requests
