"""A ramp: raises the share of treated users step by step, and judges each step before the next.

Pure but for its ports. The deployments are its memory: a ramp that was killed goes on from the step that is in force,
as does one that somebody else begins again with the same percentages (infra/decisions/0053).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from flagrank.canary import Outcome, Verdict, judge
from flagrank.deployments import DeployedFlag, Deployment, RolloutControl
from flagrank.errors import CloudError, ConfigurationError, RolloutRefused
from flagrank.figures import Arms, FiguresSource, Limits
from flagrank.ports import Clock
from flagrank.rollout import FlagDocument

# CloudWatch keeps its minutes for 15 days
LONGEST_LOOK_BACK_S = 14 * 86_400.0


@dataclass(frozen=True, slots=True)
class RampPlan:
    """The steps' percentages, rising, and how each is judged; raises ConfigurationError for what is no ramp.

    A step counts from `flip_s` after its deployment, when every environment has it, and passes at the earliest after
    `bake_s` more. One that cannot be told within `patience_s` is left as it is. With `shadow` the first step asks the
    LLM and serves the baseline. Times in seconds.
    """

    percents: tuple[float, ...]
    bake_s: float = 600.0
    look_every_s: float = 60.0
    patience_s: float = 7200.0
    flip_s: float = 15.0
    shadow: bool = True
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        rising = all(lower < higher for lower, higher in zip(self.percents, self.percents[1:], strict=False))
        if not self.percents or not rising or not 0 < self.percents[0] <= self.percents[-1] <= 100:
            raise ConfigurationError("a ramp's percentages rise, above 0 and up to 100: 1,5,25,50,100")
        if self.bake_s < 0 or self.look_every_s <= 0 or self.flip_s < 0:
            raise ConfigurationError("times are positive")

    def steps(self, document: FlagDocument) -> list[FlagDocument]:
        """The documents that are still to be judged, the one in force first if it is a step of this ramp.

        Raises RolloutRefused where more users are treated than the last step would.
        """
        serving = [
            _changed(document, {"enabled": True, "mode": "serve", "percent": percent}) for percent in self.percents
        ]
        if document.enabled and document.mode == "serve" and document.percent > 0:
            remaining = [step for step in serving if step.percent >= document.percent]
            if not remaining:
                raise RolloutRefused(f"{document.percent:g} % are treated already; go down with `percent`")
            return remaining
        return [_changed(serving[0], {"mode": "shadow"}), *serving] if self.shadow else serving


@dataclass(frozen=True, slots=True)
class Look:
    """A step as it was seen once: how long it had stood (s), both arms since it reached everyone, and the verdict.

    `blocked` says what keeps it from passing beside the verdict.
    """

    document: FlagDocument
    stood_s: float
    arms: Arms
    verdict: Verdict
    blocked: str | None = None


class Ending(StrEnum):
    """How a ramp ended: at its last step, switched off, left for want of data, or since somebody else took over."""

    DONE = "done"
    FAILED = "failed"
    HELD = "held"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True, slots=True)
class RampReport:
    """What became of a ramp, and the last look at it. `exposed` counts the failed step's treated requests so far."""

    ending: Ending
    sentence: str
    document: FlagDocument
    look: Look | None = None
    exposed: int | None = None


class _Ended(Exception):
    def __init__(self, report: RampReport) -> None:
        super().__init__(report.sentence)
        self.report = report


@dataclass(frozen=True, slots=True)
class Ramp:
    """A ramp over its ports. `wait` sleeps for seconds; `told` hears every look and what else is worth saying.

    `is_unhealthy`: whether the alarm that pages for the reranker is on, and so nobody should go up.
    """

    plan: RampPlan
    control: RolloutControl
    figures: FiguresSource
    clock: Clock
    wait: Callable[[float], None]
    actor: str
    reason: str
    told: Callable[[Look | str], None]
    is_unhealthy: Callable[[], bool] = lambda: False

    def run(self) -> RampReport:
        """Climbs until the ramp ends.

        Raises RolloutRefused if it may not begin. Whatever interrupts it leaves the flag as it is.
        """
        deployed = self.control.deployed()
        if deployed.document is None:
            raise RolloutRefused("nothing is deployed yet; see `flagrank rollout init`")
        if deployed.in_flight is not None:
            busy = deployed.in_flight
            raise RolloutRefused(f"deployment {busy.number} is {busy.state}: {busy.description}")
        steps = self.plan.steps(deployed.document)
        report = RampReport(Ending.DONE, f"{steps[-1].percent:g} % are treated, and all is well", steps[-1])
        try:
            for step in steps:
                standing = self._stand(step, deployed)
                deployed, look = self._bake(step, standing)
                report = RampReport(report.ending, report.sentence, step, look)
        except _Ended as ended:
            return ended.report
        return report

    def _stand(self, step: FlagDocument, deployed: DeployedFlag) -> Deployment:
        if deployed.document == step and deployed.deployment is not None:
            self.told(f"{named(step)} stands since {deployed.deployment.started_at}: going on from there")
            return deployed.deployment
        steps = ",".join(f"{percent:g}" for percent in self.plan.percents)
        what = f"ramp {named(step)} of {steps} ({self.reason})"
        try:
            standing = self.control.deploy(step, actor=self.actor, reason=what, since=deployed)
        except RolloutRefused as refused:
            raise _Ended(RampReport(Ending.OVERTAKEN, f"{named(step)} was refused: {refused}", step)) from refused
        self.told(f"{named(step)}: {standing.label} is deployed, judged from {self.plan.flip_s:g} s on")
        return standing

    def _bake(self, step: FlagDocument, standing: Deployment) -> tuple[DeployedFlag, Look]:
        while True:
            why, seen = "nobody knew", None
            try:
                deployed = self._still(step, standing)
                seen = look(step, standing, self.plan, self.figures, self.clock.now(), self.is_unhealthy)
            except CloudError as error:
                # an outage is no verdict: environments keep what they have, and so does the ramp
                self.told(f"nobody knows how {named(step)} does, looking again: {error}")
            else:
                self.told(seen)
                if seen.verdict.outcome is Outcome.FAIL:
                    raise _Ended(self._switched_off(seen, standing, deployed))
                baked = seen.stood_s >= self.plan.flip_s + self.plan.bake_s
                if baked and seen.verdict.outcome is Outcome.PASS and seen.blocked is None:
                    return deployed, seen
                why = seen.blocked or seen.verdict.said
            stood_s = self.clock.now() - standing.started_at_s
            if stood_s >= self.plan.flip_s + max(self.plan.patience_s, self.plan.bake_s):
                sentence = f"{named(step)} cannot be told after {stood_s:.0f} s and stays as it is: {why}"
                raise _Ended(RampReport(Ending.HELD, sentence, step, seen))
            self.wait(self.plan.look_every_s)

    def _still(self, step: FlagDocument, standing: Deployment) -> DeployedFlag:
        deployed = self.control.deployed()
        newest = deployed.newest
        if newest is None or (newest.number == standing.number and newest == deployed.deployment):
            return deployed
        changed = f"{newest.actor} changed the flag: {newest.change}"
        why = "AppConfig undid it" if newest.number == standing.number else changed
        sentence = f"stopped at {named(step)}, since {why}"
        raise _Ended(RampReport(Ending.OVERTAKEN, sentence, deployed.document or step))

    def _switched_off(self, seen: Look, standing: Deployment, deployed: DeployedFlag) -> RampReport:
        step, figures = seen.document, seen.verdict.said
        off = _changed(step, {"enabled": False})
        reason = f"off, ramp {named(step)}: {figures}"
        while True:
            try:
                self.control.deploy(off, actor=self.actor, reason=reason, urgent=True, since=deployed)
                break
            except RolloutRefused as refused:
                sentence = f"{named(step)} fails ({figures}), and somebody else was first: {refused}"
                return RampReport(Ending.OVERTAKEN, sentence, step, seen)
            except CloudError as error:
                self.told(f"{named(step)} FAILS and cannot be switched off yet, trying again: {error}")
                self.wait(min(self.plan.look_every_s, self.plan.flip_s))
        exposed = self._exposed(standing)
        told = "an unknown number of" if exposed is None else str(exposed)
        sentence = f"{named(step)} failed and is off, after {told} treated requests: {figures}"
        return RampReport(Ending.FAILED, sentence, off, seen, exposed)

    def _exposed(self, standing: Deployment) -> int | None:
        try:
            return self.figures.read(standing.started_at_s, self.clock.now()).treatment.requests
        except CloudError:
            return None


def look(
    document: FlagDocument,
    standing: Deployment,
    plan: RampPlan,
    figures: FiguresSource,
    now_s: float,
    is_unhealthy: Callable[[], bool],
) -> Look:
    """The step in force, judged now; raises CloudError where there are no figures."""
    begin_s = max(standing.started_at_s + plan.flip_s, now_s - LONGEST_LOOK_BACK_S)
    arms = figures.read(begin_s, now_s) if now_s > begin_s else Arms()
    verdict = judge(arms.treatment, arms.control, plan.limits, document.percent)
    blocked = "the alarm RerankUnhealthy is on" if is_unhealthy() else None
    return Look(document, now_s - standing.started_at_s, arms, verdict, blocked)


def named(step: FlagDocument) -> str:
    """A step as people call it."""
    return f"{step.percent:g} %" + (" in shadow" if step.mode == "shadow" else "")


def _changed(document: FlagDocument, change: dict[str, object]) -> FlagDocument:
    return FlagDocument.model_validate({**document.model_dump(by_alias=True), **change})
