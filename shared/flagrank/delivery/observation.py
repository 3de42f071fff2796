"""A step of a rollout that is in force, and one observation of it. Pure but for the figures."""

from dataclasses import dataclass

from flagrank.delivery.analysis.counts import Arms, CountsSource
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.verdict import Verdict, judge
from flagrank.delivery.deployments import Deployment
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import treated_percent


@dataclass(frozen=True, slots=True)
class ObservedStep:
    """A step in force. Its figures count from `since_s`, and its observer waits from `waits_from_s` (epoch s)."""

    document: FlagDocument
    deployment: Deployment
    since_s: float
    waits_from_s: float


@dataclass(frozen=True, slots=True)
class Observation:
    """A step as it was observed once: how long it has been in force, both arms since its figures count, the verdict.

    `blocked` says what keeps the step from passing besides the verdict. The figures are those of `counted_s` seconds.
    """

    document: FlagDocument
    in_force_s: float
    arms: Arms
    verdict: Verdict
    blocked: str | None = None
    counted_s: float = 0.0

    @property
    def more_s(self) -> float | None:
        """About how many more seconds end a hold at the rate so far; None if nobody can tell."""
        more, seen = self.verdict.more_requests, self.arms.treatment.requests
        return more * self.counted_s / seen if more is not None and seen else None


def start_observation(
    document: FlagDocument, deployment: Deployment, propagation_s: float, now_s: float, back_s: float
) -> ObservedStep:
    """Begins to observe a step that is in force: its figures count from `back_s` ago.

    If everyone has the step only since later, they count from then. Older figures would dilute what is happening now.
    """
    reached_s = deployment.started_at_s + propagation_s
    return ObservedStep(document, deployment, max(reached_s, now_s - back_s), max(reached_s, now_s))


def observe(
    step: ObservedStep, limits: Limits, figures: CountsSource, now_s: float, blocked: str | None = None
) -> Observation:
    """Judges the step by its figures up to now; raises CloudError if there are no figures."""
    arms = figures.read(step.since_s, now_s) if now_s > step.since_s else Arms()
    verdict = judge(arms.treatment, arms.control, limits, treated_percent(step.document))
    in_force_s = now_s - step.deployment.started_at_s
    return Observation(step.document, in_force_s, arms, verdict, blocked, max(0.0, now_s - step.since_s))
