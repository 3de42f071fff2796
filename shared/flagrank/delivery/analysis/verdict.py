"""The judge of a rollout: treatment against concurrent control, three-valued, and right however often it is asked.

Pure. Begin to count when the step has reached every environment. infra/decisions/0050 says what is promised.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from flagrank.delivery.analysis.comparison import Bound, Comparison, compare
from flagrank.delivery.analysis.counts import ArmCounts
from flagrank.delivery.analysis.eprocess import bounds, split_p_value
from flagrank.delivery.analysis.formats import PERCENT, Format
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import Metric

# the multiples of the data at hand at which the end of a hold is looked for
HORIZON = np.geomspace(1.02, 300, 60)


class Outcome(StrEnum):
    """Go on, go back, or wait."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "hold"


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric judged. `low` and `high` bound the excess over control, or the treated value against a ceiling.

    Shares are 0..1, p95 is in ms (rungs of the ladder), cost in micro-USD a request. Of clicks the excess is what was
    lost; against a floor `low` and `high` bound the treated value. `excess` says in words how much it is. About
    `more_requests` treated requests end a hold; None if nobody can tell. `causes` are what treated requests met, the
    most frequent first, each with its share; a request may have met several. `format` is how people write the values.
    """

    metric: Metric
    outcome: Outcome
    sentence: str
    treatment: float | None = None
    control: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    is_ceiling: bool = False
    is_floor: bool = False
    excess: str = ""
    more_requests: int | None = None
    causes: tuple[tuple[str, float], ...] = ()
    format: Format = PERCENT

    @property
    def label(self) -> str:
        """The metric as people read it."""
        return self.format.label(self.metric)

    def document(self) -> dict[str, Any]:
        """The result for JSON."""
        return {
            "figure": self.metric,
            "outcome": self.outcome,
            "sentence": self.sentence,
            "treatment": self.treatment,
            "control": self.control,
            "low": self.low,
            "high": self.high,
            "limit": self.limit,
            "is_ceiling": self.is_ceiling,
            "is_floor": self.is_floor,
            "excess": self.excess,
            "more_requests": self.more_requests,
            "causes": dict(self.causes),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge decides, and a result for everything that it looked at."""

    outcome: Outcome
    results: tuple[MetricResult, ...]

    @property
    def reasons(self) -> tuple[MetricResult, ...]:
        """The results that made the verdict what it is."""
        return tuple(result for result in self.results if result.outcome is self.outcome)

    @property
    def summary(self) -> str:
        """The reasons in words, and what caused them where they fail."""
        return "; ".join([*(result.sentence for result in self.reasons), *self.causes])

    @property
    def causes(self) -> tuple[str, ...]:
        """What caused a failure, as far as it was counted: `fallbacks 80.0 %: malformed 71.0 %, throttled 9.0 %`."""
        failed = [result for result in self.results if result.outcome is Outcome.FAIL]
        return tuple(dict.fromkeys(filter(None, map(_caused, failed))))

    @property
    def more_requests(self) -> int | None:
        """About how many more treated requests end a hold; None if it is none, or if nobody can tell."""
        needed = [result.more_requests for result in self.reasons if result.more_requests is not None]
        is_known = self.outcome is Outcome.INCONCLUSIVE and len(needed) == len(self.reasons)
        return max(needed) if is_known else None


def judge(treatment: ArmCounts, control: ArmCounts, limits: Limits, split_percent: float) -> Verdict:
    """Judges a step at which `split_percent` of the users are treated.

    It fails if any measure is surely beyond a limit. It passes once every measure is surely within its limits, each
    arm has its minimum, and users are split as asked. At 100 percent there is no control, and ceilings alone are
    judged. Raises ValueError for a percentage that is none.
    """
    if not 0 <= split_percent <= 100:
        raise ValueError(f"not a percentage: {split_percent}")
    has_control = split_percent < 100 and control.requests > 0
    results = [
        *_judge_requests(treatment, control, limits, split_percent),
        *_judge_split(treatment, control, limits, split_percent),
        *(
            _judge_comparison(comparison, limits, treatment.requests)
            for comparison in compare(treatment, control if has_control else None, limits)
        ),
    ]
    outcomes = {result.outcome for result in results}
    worst = next((outcome for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE) if outcome in outcomes), Outcome.PASS)
    return Verdict(worst, tuple(results))


def decide(comparison: Comparison, limits: Limits) -> Outcome:
    """What the evidence of one comparison proves."""
    if comparison.evidence.above(comparison.limit) >= limits.fail_log:
        return Outcome.FAIL
    return Outcome.PASS if comparison.evidence.below(comparison.limit) >= limits.pass_log else Outcome.INCONCLUSIVE


def _judge_requests(
    treatment: ArmCounts, control: ArmCounts, limits: Limits, split_percent: float
) -> Iterator[MetricResult]:
    expected = {"treatment": treatment.requests} | ({"control": control.requests} if split_percent < 100 else {})
    counted = ", ".join(f"{requests} in {arm}" for arm, requests in expected.items())
    fewest, needed = min(expected.values()), limits.min_requests
    if fewest >= needed:
        yield MetricResult(Metric.REQUESTS, Outcome.PASS, f"requests: {counted}, {needed} are enough")
        return
    short = [arm for arm, requests in expected.items() if requests < needed]
    silent = [arm for arm, requests in expected.items() if not requests]
    why = f"no data from {' and '.join(silent)}" if silent else f"too few from {' and '.join(short)}"
    # both arms grow together, so what the smaller one lacks is given in treated requests
    more = math.ceil((needed - fewest) * treatment.requests / fewest) if fewest else None
    sentence = f"requests: {why} ({counted}; {needed} each are needed)"
    yield MetricResult(Metric.REQUESTS, Outcome.INCONCLUSIVE, sentence, more_requests=more)


def _judge_split(
    treatment: ArmCounts, control: ArmCounts, limits: Limits, split_percent: float
) -> Iterator[MetricResult]:
    users = treatment.users + control.users
    if not 0 < split_percent < 100 or not users:
        return
    p_value = split_p_value(treatment.users, control.users, split_percent / 100)
    is_wrong = p_value < limits.false_split
    observed = f"split: {treatment.users} of {users} users are treated, {100 * treatment.users / users:.2f} %"
    end = "the arms cannot be compared, look for lost requests" if is_wrong else "as it should be"
    yield MetricResult(
        Metric.SPLIT,
        Outcome.INCONCLUSIVE if is_wrong else Outcome.PASS,
        f"{observed} where {split_percent:g} % were asked for (p = {p_value:.2g}): {end}",
        treatment=treatment.users / users,
        control=control.users / users,
        limit=split_percent / 100,
    )


def _judge_comparison(comparison: Comparison, limits: Limits, requests: int) -> MetricResult:
    outcome = decide(comparison, limits)
    low, high = bounds(comparison.evidence, comparison.span, limits.fail_log, limits.pass_log)
    span, limit = comparison.span, comparison.limit
    if comparison.bound is Bound.FLOOR:
        # kept with its sign turned, and read as it is
        low, high, span, limit = -high, -low, (-span[1], -span[0]), -limit
    excess = _amount(comparison.measure.format, span, low, high)
    more = _more_requests(comparison, limits, requests) if outcome is Outcome.INCONCLUSIVE else None
    return MetricResult(
        metric=comparison.measure.metric,
        outcome=outcome,
        sentence=_sentence(comparison, limit, outcome, excess, more),
        treatment=comparison.treatment,
        control=comparison.control,
        low=low,
        high=high,
        limit=limit,
        is_ceiling=comparison.bound is Bound.CEILING,
        is_floor=comparison.bound is Bound.FLOOR,
        excess=excess,
        more_requests=more,
        causes=comparison.causes,
        format=comparison.measure.format,
    )


def _more_requests(comparison: Comparison, limits: Limits, requests: int) -> int | None:
    grown = comparison.evidence.grown(HORIZON)
    ends = (grown.above(comparison.limit) >= limits.fail_log) | (grown.below(comparison.limit) >= limits.pass_log)
    return math.ceil((HORIZON[ends.argmax()] - 1) * requests) if requests and ends.any() else None


def _sentence(comparison: Comparison, limit: float, outcome: Outcome, excess: str, more: int | None) -> str:
    measure, show = comparison.measure, comparison.measure.format.rounded
    undecided = "nobody can tell yet" if more is None else f"about {more} more treated requests will tell"
    failed = "too little" if comparison.bound is Bound.FLOOR else "too much"
    end = {Outcome.FAIL: failed, Outcome.PASS: "within the limit", Outcome.INCONCLUSIVE: undecided}[outcome]
    treated = "no data from the treated" if comparison.treatment is None else f"{show(comparison.treatment)} treated"
    observed = f"{measure.label}: {treated}"
    if comparison.bound is not Bound.CONTROL:
        asked = "allowed" if comparison.bound is Bound.CEILING else "at least wanted"
        return f"{observed}, in truth {excess}; {show(limit)} {asked}: {end}"
    against = "none in control" if comparison.control is None else f"{show(comparison.control)} in control"
    base = "control" if comparison.slope == 1 else f"{comparison.slope:g} times control"
    side = measure.harm.value
    return f"{observed}, {against}; {side} {base} by {excess}, {show(limit)} tolerated: {end}"


def _caused(result: MetricResult) -> str:
    if result.treatment is None or not result.causes:
        return ""
    causes = ", ".join(f"{name.replace('_', ' ')} {PERCENT.rounded(share)}" for name, share in result.causes)
    return f"{result.label} {result.format.rounded(result.treatment)}: {causes}"


def _amount(written: Format, span: tuple[float, float], low: float, high: float) -> str:
    (lowest, highest), show = span, written.rounded
    if low <= lowest and high >= highest:
        return "an unknown amount"
    if low <= lowest:
        return f"at most {show(high)}"
    if high >= highest:
        return f"at least {show(low)}"
    return f"{show(low)} to {show(high)}"
