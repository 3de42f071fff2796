"""The judge of a rollout: treatment against concurrent control, three-valued, and right however often it is asked.

Pure. Begin to count when the step has reached every environment; infra/decisions/0050 says what is promised.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from flagrank.delivery.analysis.counts import ArmFigures
from flagrank.delivery.analysis.eprocess import bounds, split_p_value
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import Comparison, Metric, compare

# how many times the data at hand a hold is looked ahead for its end
HORIZON = np.geomspace(1.02, 300, 60)


class Outcome(StrEnum):
    """Go on, go back, or wait."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "hold"


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One figure judged. `low` and `high` bound the excess over control, or the treated value against a ceiling.

    Shares are 0..1, p95 ms (rungs of the ladder), cost micro-USD a request; of clicks the excess is what was lost.
    `excess` says how far, in words. `more_requests`: about so many treated ones end a hold, None where nobody can tell.
    """

    figure: Metric
    outcome: Outcome
    sentence: str
    treatment: float | None = None
    control: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    is_ceiling: bool = False
    excess: str = ""
    more_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says, and a finding for whatever it looked at."""

    outcome: Outcome
    findings: tuple[MetricResult, ...]

    @property
    def reasons(self) -> tuple[MetricResult, ...]:
        """The findings that made the verdict what it is."""
        return tuple(finding for finding in self.findings if finding.outcome is self.outcome)

    @property
    def said(self) -> str:
        """The reasons in words."""
        return "; ".join(finding.sentence for finding in self.reasons)

    @property
    def more_requests(self) -> int | None:
        """About so many more treated requests end a hold; None if it is none, or if nobody can tell."""
        needed = [finding.more_requests for finding in self.reasons if finding.more_requests is not None]
        is_known = self.outcome is Outcome.INCONCLUSIVE and len(needed) == len(self.reasons)
        return max(needed) if is_known else None


def judge(treatment: ArmFigures, control: ArmFigures, limits: Limits, split_percent: float) -> Verdict:
    """Judges a step at which `split_percent` of the users are treated. Any figure beyond its limit for sure fails it.

    It passes once every figure is within its limit for sure, each arm has its minimum, and users are split as asked.
    At 100 percent there is no control, and ceilings alone are judged. Raises ValueError for a percentage that is none.
    """
    if not 0 <= split_percent <= 100:
        raise ValueError(f"not a percentage: {split_percent}")
    has_control = split_percent < 100 and control.requests > 0
    findings = [
        *_judge_counts(treatment, control, limits, split_percent),
        *_judge_split(treatment, control, limits, split_percent),
        *(
            _judge_comparison(comparison, limits, treatment.requests)
            for comparison in compare(treatment, control if has_control else None, limits)
        ),
    ]
    outcomes = {finding.outcome for finding in findings}
    worst = next((outcome for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE) if outcome in outcomes), Outcome.PASS)
    return Verdict(worst, tuple(findings))


def _judge_counts(
    treatment: ArmFigures, control: ArmFigures, limits: Limits, split_percent: float
) -> Iterator[MetricResult]:
    expected = {"treatment": treatment.requests} | ({"control": control.requests} if split_percent < 100 else {})
    told = ", ".join(f"{requests} in {arm}" for arm, requests in expected.items())
    fewest, needed = min(expected.values()), limits.min_requests
    if fewest >= needed:
        yield MetricResult(Metric.REQUESTS, Outcome.PASS, f"requests: {told}, {needed} are enough")
        return
    short = [arm for arm, requests in expected.items() if requests < needed]
    silent = [arm for arm, requests in expected.items() if not requests]
    why = f"no data from {' and '.join(silent)}" if silent else f"too few from {' and '.join(short)}"
    # arms grow together, so what the smaller one lacks is told in treated requests
    more = math.ceil((needed - fewest) * treatment.requests / fewest) if fewest else None
    yield MetricResult(
        Metric.REQUESTS, Outcome.INCONCLUSIVE, f"requests: {why} ({told}; {needed} each are needed)", more_requests=more
    )


def _judge_split(
    treatment: ArmFigures, control: ArmFigures, limits: Limits, split_percent: float
) -> Iterator[MetricResult]:
    users = treatment.users + control.users
    if not 0 < split_percent < 100 or not users:
        return
    p_value = split_p_value(treatment.users, control.users, split_percent / 100)
    is_wrong = p_value < limits.false_split
    seen = f"split: {treatment.users} of {users} users are treated, {100 * treatment.users / users:.2f} %"
    verdict = "the arms cannot be compared, look for lost requests" if is_wrong else "as it should be"
    yield MetricResult(
        Metric.SPLIT,
        Outcome.INCONCLUSIVE if is_wrong else Outcome.PASS,
        f"{seen} where {split_percent:g} % were asked for (p = {p_value:.2g}): {verdict}",
        treatment=treatment.users / users,
        control=control.users / users,
        limit=split_percent / 100,
    )


def _judge_comparison(comparison: Comparison, limits: Limits, requests: int) -> MetricResult:
    outcome = _decide(comparison, limits)
    low, high = bounds(comparison.evidence, comparison.span, limits.fail_log, limits.pass_log)
    excess = _amount(comparison, low, high)
    more = _more_requests(comparison, limits, requests) if outcome is Outcome.INCONCLUSIVE else None
    return MetricResult(
        figure=comparison.figure,
        outcome=outcome,
        sentence=_sentence(comparison, outcome, excess, more),
        treatment=comparison.treatment,
        control=comparison.control,
        low=low,
        high=high,
        limit=comparison.limit,
        is_ceiling=comparison.is_ceiling,
        excess=excess,
        more_requests=more,
    )


def _decide(comparison: Comparison, limits: Limits) -> Outcome:
    if comparison.evidence.above(comparison.limit) >= limits.fail_log:
        return Outcome.FAIL
    return Outcome.PASS if comparison.evidence.below(comparison.limit) >= limits.pass_log else Outcome.INCONCLUSIVE


def _more_requests(comparison: Comparison, limits: Limits, requests: int) -> int | None:
    grown = comparison.evidence.grown(HORIZON)
    told = (grown.above(comparison.limit) >= limits.fail_log) | (grown.below(comparison.limit) >= limits.pass_log)
    return math.ceil((HORIZON[told.argmax()] - 1) * requests) if requests and told.any() else None


def _sentence(comparison: Comparison, outcome: Outcome, excess: str, more: int | None) -> str:
    show = comparison.show
    end = {
        Outcome.FAIL: "too much",
        Outcome.PASS: "within the limit",
        Outcome.INCONCLUSIVE: "nobody can tell yet"
        if more is None
        else f"about {more} more treated requests will tell",
    }[outcome]
    figure = f"{comparison.figure.said}: {show(comparison.treatment)} treated"
    if comparison.is_ceiling:
        return f"{figure}, in truth {excess}; {show(comparison.limit)} allowed: {end}"
    against = "none in control" if comparison.control is None else f"{show(comparison.control)} in control"
    base = "control" if comparison.slope == 1 else f"{comparison.slope:g} times control"
    side = "below" if comparison.figure is Metric.CLICKS else "above"
    return f"{figure}, {against}; {side} {base} by {excess}, {show(comparison.limit)} tolerated: {end}"


def _amount(comparison: Comparison, low: float, high: float) -> str:
    lowest, highest = comparison.span
    if low <= lowest and high >= highest:
        return "an unknown amount"
    if low <= lowest:
        return f"at most {comparison.show(high)}"
    if high >= highest:
        return f"at least {comparison.show(low)}"
    return f"{comparison.show(low)} to {comparison.show(high)}"
