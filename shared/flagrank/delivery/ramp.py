"""A ramp: raises the share of treated users step by step, and judges each step before the next.

Pure but for its ports. The deployments are its memory: a ramp that was killed goes on from the step that is in force,
as does one that somebody else begins again with the same percentages (infra/decisions/0053).
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from flagrank.delivery.analysis.counts import CountsSource
from flagrank.delivery.analysis.verdict import Outcome
from flagrank.delivery.deployments import DeployedFlag, Deployment, RolloutControl
from flagrank.delivery.guard import ACTOR as GUARD
from flagrank.delivery.observation import Observation, ObservedStep, observe, start_observation
from flagrank.delivery.plan import RampPlan, changed, named
from flagrank.errors import CloudError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import treated_percent
from flagrank.ports import Clock

# deployments that may lie between a ramp's steps and its end, each try at switching off being one
HISTORY_BEYOND = 10


class Ending(StrEnum):
    """How a ramp ended.

    At its last step; at a step that failed and is no longer in force; at one that fails, and nobody waited for the
    switch-off; left for want of data or of a deployment; or since somebody else took over.
    """

    DONE = "done"
    FAILED = "failed"
    FAILING = "failing"
    HELD = "held"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True, slots=True)
class RampReport:
    """What became of a ramp, the document that it left in force, and the last look at it.

    Treated requests so far, None where nobody knows: `exposed` of the failed step, `exposed_by_ramp` of all its steps.
    """

    ending: Ending
    sentence: str
    document: FlagDocument
    look: Observation | None = None
    exposed: int | None = None
    exposed_by_ramp: int | None = None


class _Ended(Exception):
    def __init__(self, report: RampReport) -> None:
        super().__init__(report.sentence)
        self.report = report


@dataclass(frozen=True, slots=True)
class Ramp:
    """A ramp over its ports. `wait` sleeps for seconds; `told` hears every look and what else is worth saying.

    `ringing` names the alarm that is on, during which nobody should go up; raises CloudError where nobody knows.
    """

    plan: RampPlan
    control: RolloutControl
    figures: CountsSource
    clock: Clock
    wait: Callable[[float], None]
    actor: str
    reason: str
    told: Callable[[Observation | str], None]
    ringing: Callable[[], str | None] = lambda: None

    def run(self) -> RampReport:
        """Climbs until the ramp ends.

        Raises RolloutRefused if it may not begin. Whatever interrupts it leaves the flag as it is.
        """
        deployed = self.control.deployed()
        steps = self.plan.begun(deployed)
        standing, seen = None, None
        try:
            for step in steps:
                standing = self._stand(step, standing, deployed)
                deployed, seen = self._bake(standing)
        except _Ended as ended:
            return ended.report
        return RampReport(Ending.DONE, f"{steps[-1].percent:g} % are treated, and all is well", steps[-1], seen)

    def _stand(self, step: FlagDocument, below: ObservedStep | None, deployed: DeployedFlag) -> ObservedStep:
        plan, begun_s = self.plan, self.clock.now()
        if deployed.document == step and deployed.deployment is not None:
            self.told(f"{named(step)} stands since {deployed.deployment.started_at}: going on from there")
            return start_observation(step, deployed.deployment, plan.propagation_s, begun_s, plan.bake_s)
        what = f"ramp {named(step)} of {plan.named} ({self.reason})"
        # whoever interrupted the look before this step is heard before it is taken
        self.wait(0.0)
        while True:
            try:
                standing = self.control.deploy(step, actor=self.actor, reason=what, since=deployed)
                break
            except (CloudError, RolloutRefused) as error:
                why = f"{named(step)} was not deployed: {error}"
                self.told(why)
            now = self._deployed(why, deployed.document or step, until_s=begun_s + plan.patience_s)
            own = self._own(now, deployed, step, what)
            if own is not None:
                standing = own
                break
            if _numbers(now) != _numbers(deployed):
                raise _Ended(self._left(step, now, is_own=now.newest is not None and self._wrote(now.newest, what)))
            if self.clock.now() >= begun_s + plan.patience_s:
                raise _Ended(RampReport(Ending.HELD, why, now.document or step))
            self.wait(plan.look_every_s)
            # what passed then may fail by now
            deployed = now if below is None else self._bake(below)[0]
        self.told(f"{named(step)}: {standing.label} is deployed, judged from {plan.propagation_s:g} s on")
        return start_observation(step, standing, plan.propagation_s, self.clock.now(), plan.bake_s)

    def _bake(self, standing: ObservedStep) -> tuple[DeployedFlag, Observation]:
        plan, step = self.plan, standing.document
        while True:
            why, seen = "nobody knew", None
            try:
                deployed = self._still(standing)
                blocked = self._blocked(deployed)
                seen = observe(standing, plan.limits, self.figures, self.clock.now(), blocked)
            except CloudError as error:
                # an outage is no verdict: environments keep what they have, and so does the ramp
                self.told(f"nobody knows how {named(step)} does, looking again: {error}")
            else:
                self.told(seen)
                if seen.verdict.outcome is Outcome.FAIL:
                    raise _Ended(self._switched_off(seen, standing, deployed))
                baked = self.clock.now() - standing.watched_s >= plan.bake_s
                if baked and seen.verdict.outcome is Outcome.PASS and blocked is None:
                    return deployed, seen
                why = blocked or seen.verdict.summary
            watched_s = self.clock.now() - standing.watched_s
            if watched_s >= max(plan.patience_s, plan.bake_s):
                sentence = f"{named(step)} cannot be told in {watched_s:.0f} s and stays as it is: {why}"
                raise _Ended(RampReport(Ending.HELD, sentence, step, seen))
            self.wait(plan.look_every_s)

    def _still(self, standing: ObservedStep) -> DeployedFlag:
        deployed, number = self.control.deployed(), standing.deployment.number
        if _numbers(deployed) == (number, number):
            return deployed
        report = self._left(standing.document, deployed, is_own=_numbers(deployed)[1] == number)
        raise _Ended(self._counted(report, standing, "") if report.ending is Ending.FAILED else report)

    def _blocked(self, deployed: DeployedFlag) -> str | None:
        if deployed.in_flight is not None:
            return f"AppConfig still watches deployment {deployed.in_flight.number}"
        try:
            alarm = self.ringing()
        except CloudError as error:
            return f"nobody knows whether an alarm is on: {error}"
        return f"the alarm {alarm} is on" if alarm else None

    def _switched_off(self, seen: Observation, standing: ObservedStep, deployed: DeployedFlag) -> RampReport:
        step, figures = seen.document, seen.verdict.summary
        off = changed(step, {"enabled": False})
        try:
            first = self._off(off, f"off, ramp {named(step)}: {figures}", standing, deployed)
        except KeyboardInterrupt:
            sentence = f"{named(step)} FAILS and may still be on, say `flagrank rollout off`: {figures}"
            return RampReport(Ending.FAILING, sentence, step, seen)
        if first is not None:
            sentence = f"{named(step)} fails ({figures}), and somebody else was first: {first.description}"
            return RampReport(Ending.OVERTAKEN, sentence, step, seen)
        failed = RampReport(Ending.FAILED, f"{named(step)} failed and is off", off, seen)
        return self._counted(failed, standing, f": {figures}")

    def _off(self, off: FlagDocument, what: str, standing: ObservedStep, before: DeployedFlag) -> Deployment | None:
        # returns the deployment of somebody who was first
        failing = f"{named(standing.document)} FAILS and cannot be switched off yet, trying again"
        own, made, why = None, None, ""
        while True:
            if own is None:
                try:
                    # a profile holds so many versions: one that was undone is deployed again
                    own = (
                        self.control.redeploy(made, actor=self.actor, reason=what, since=before)
                        if made
                        else self.control.deploy(off, actor=self.actor, reason=what, urgent=True, since=before)
                    )
                except (CloudError, RolloutRefused) as error:
                    why = str(error)
            if own is not None and not own.in_flight:
                return None
            now = self._deployed(failing, off)
            own, stands = self._own(now, before, off, what), now.deployment
            if own is None:
                if stands is not None and stands.number > standing.deployment.number:
                    return stands
                before = now
                made = now.newest.version if now.newest is not None and self._wrote(now.newest, what) else made
            if own is None or own.in_flight:
                self.told(f"{failing}: {why or 'AppConfig is at it'}")
                self.wait(min(self.plan.look_every_s, self.plan.propagation_s))

    def _deployed(self, doing: str, document: FlagDocument, until_s: float = math.inf) -> DeployedFlag:
        while True:
            try:
                return self.control.deployed()
            except CloudError as error:
                self.told(f"{doing}: {error}")
                if self.clock.now() >= until_s:
                    raise _Ended(RampReport(Ending.HELD, doing, document)) from error
            self.wait(min(self.plan.look_every_s, self.plan.propagation_s))

    def _own(self, now: DeployedFlag, before: DeployedFlag, document: FlagDocument, what: str) -> Deployment | None:
        # an answer may get lost where the deployment did not
        stands = now.deployment
        if stands is None or stands.number <= before.latest_number or now.document != document:
            return None
        return stands if self._wrote(stands, what) else None

    def _wrote(self, deployment: Deployment, what: str) -> bool:
        # the record is cut where AppConfig has no more room
        return deployment.actor == self.actor and bool(deployment.change) and what.startswith(deployment.change)

    def _left(self, step: FlagDocument, deployed: DeployedFlag, *, is_own: bool) -> RampReport:
        newest, document = deployed.newest, deployed.document or step
        if newest is None or is_own:
            is_alarm = newest is not None and newest.state == "ROLLED_BACK"
            who, ending = ("AppConfig", Ending.FAILED) if is_alarm else ("somebody", Ending.OVERTAKEN)
            why = f"{who} undid it" + (", as it does when an alarm rings" if is_alarm else "")
        else:
            ending = Ending.FAILED if newest.actor == GUARD else Ending.OVERTAKEN
            why = f"{newest.actor} changed the flag: {newest.change}"
        sentence = f"stopped at {named(step)}, since {why}; {treated_percent(document):g} % are treated now"
        return RampReport(ending, sentence, document)

    def _counted(self, report: RampReport, standing: ObservedStep, why: str) -> RampReport:
        deployment, now_s = standing.deployment, self.clock.now()
        try:
            # the steps of this ramp down from the one that failed
            recent = self.control.history(HISTORY_BEYOND + len(self.plan.percents))
            until = itertools.dropwhile(lambda entry: entry.number > deployment.number, recent)
            steps = itertools.takewhile(lambda entry: f" of {self.plan.named} (" in entry.change, until)
            begun_s = min((entry.started_at_s for entry in steps), default=deployment.started_at_s)
            read = (self.figures.read(since_s, now_s) for since_s in (deployment.started_at_s, begun_s))
            exposed, by_ramp = (arms.treatment.requests for arms in read)
        except CloudError:
            return replace(report, sentence=f"{report.sentence}, after an unknown number of treated requests{why}")
        told = f"after {exposed} treated requests ({by_ramp} since the ramp began)"
        sentence = f"{report.sentence}, {told}{why}"
        return replace(report, sentence=sentence, exposed=exposed, exposed_by_ramp=by_ramp)


def _numbers(deployed: DeployedFlag) -> tuple[int, int]:
    standing, newest = deployed.deployment, deployed.newest
    return standing.number if standing else 0, newest.number if newest else 0
