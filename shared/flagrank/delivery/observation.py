"""A step of a rollout that is in force, and one look at it. Pure but for the figures."""

from dataclasses import dataclass

from flagrank.delivery.analysis.counts import Arms, CountsSource
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.verdict import Verdict, judge
from flagrank.delivery.deployments import Deployment
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import treated_percent


@dataclass(frozen=True, slots=True)
class ObservedStep:
    """A step in force. Its figures count from `since_s`, and somebody waits for them from `watched_s` on (epoch s)."""

    document: FlagDocument
    deployment: Deployment
    since_s: float
    watched_s: float


@dataclass(frozen=True, slots=True)
class Observation:
    """A step as it was seen once: how long it had stood (s), both arms as far as they count, and the verdict.

    `blocked` says what keeps it from passing beside the verdict.
    """

    document: FlagDocument
    stood_s: float
    arms: Arms
    verdict: Verdict
    blocked: str | None = None


def start_observation(
    document: FlagDocument, deployment: Deployment, propagation_s: float, now_s: float, back_s: float
) -> ObservedStep:
    """A step as it is come upon: it counts from `back_s` ago, or since everybody has it if that is later.

    What lies further back would dilute what is happening now.
    """
    reached_s = deployment.started_at_s + propagation_s
    return ObservedStep(document, deployment, max(reached_s, now_s - back_s), max(reached_s, now_s))


def observe(
    standing: ObservedStep, limits: Limits, figures: CountsSource, now_s: float, blocked: str | None = None
) -> Observation:
    """The step in force, judged now; raises CloudError where there are no figures."""
    arms = figures.read(standing.since_s, now_s) if now_s > standing.since_s else Arms()
    verdict = judge(arms.treatment, arms.control, limits, treated_percent(standing.document))
    return Observation(standing.document, now_s - standing.deployment.started_at_s, arms, verdict, blocked)
