"""A ramp: raises the percentage of treated users step by step, and judges each step before the next.

Pure but for its ports. The deployments are its memory: a ramp that was killed goes on from the step that is in force,
and so does a ramp that somebody else begins with the same percentages (infra/decisions/0053).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from flagrank.delivery.analysis.counts import CountsSource
from flagrank.delivery.analysis.verdict import Outcome
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment, RolloutControl
from flagrank.delivery.observation import Observation, ObservedStep, observe, start_observation
from flagrank.delivery.plan import RampPlan
from flagrank.delivery.ramp_changes import RampChanges, is_record_of, own_deployment
from flagrank.delivery.ramp_report import Ending, RampEnded, RampReport, overtaken, ramp_began_s, taken_over
from flagrank.errors import CloudError, RolloutRefused
from flagrank.flags.document import FLAG_POLL_S, FlagDocument, changed
from flagrank.flags.exposure import exposure_in_words
from flagrank.ports import Clock

# deployments that may lie between a ramp's steps and its end: each attempt to switch off is one
HISTORY_BEYOND = 10


@dataclass(frozen=True, slots=True)
class Ramp:
    """A ramp over its ports. `wait` sleeps for seconds; `on_event` gets every observation, and messages.

    `firing_alarm` names an alarm that fires, during which no step passes; it raises CloudError if that is not known.
    A step's figures count from `propagation_s` after its deployment, when every environment has it. `taken_over_by`
    names an operator who took the ramp over, which ends it.
    """

    plan: RampPlan
    control: RolloutControl
    figures: CountsSource
    clock: Clock
    wait: Callable[[float], None]
    actor: str
    reason: str
    on_event: Callable[[Observation | str], None]
    firing_alarm: Callable[[], str | None] = lambda: None
    propagation_s: float = FLAG_POLL_S
    taken_over_by: Callable[[], str | None] = lambda: None

    def run(self) -> RampReport:
        """Takes and judges the steps until the ramp ends.

        Raises RolloutRefused if it may not begin. An interruption leaves the flag as it is.
        """
        deployed = self.control.deployed()
        steps = self.plan.remaining_steps(deployed)
        observed, observation = None, None
        try:
            for step in steps:
                observed = self._take(step, observed, deployed)
                deployed, observation = self._bake(observed)
        except RampEnded as ended:
            return ended.report
        return RampReport(Ending.DONE, f"{steps[-1].percent:g} % are treated, and all is well", steps[-1], observation)

    @property
    def _changes(self) -> RampChanges:
        retry_s = min(self.plan.observe_every_s, self.propagation_s)
        return RampChanges(self.control, self.clock, self.wait, retry_s, self.on_event)

    def _take(self, step: FlagDocument, below: ObservedStep | None, deployed: DeployedFlag) -> ObservedStep:
        plan, words, began_s = self.plan, exposure_in_words(step), self.clock.now()
        deployment = deployed.deployment
        if deployed.document == step and deployment is not None:
            since = deployment.started_at.isoformat(timespec="seconds")
            self.on_event(f"{words} is in force since {since}: going on from there")
            return start_observation(step, deployment, self.propagation_s, began_s, plan.bake_s)
        # an interruption that came during the last observation ends the ramp before this step
        self.wait(0.0)
        deployment = self._deploy(step, below, deployed, began_s + plan.patience_s)
        self.on_event(f"{words}: {deployment.name} is deployed, judged from {self.propagation_s:g} s on")
        return start_observation(step, deployment, self.propagation_s, self.clock.now(), plan.bake_s)

    def _deploy(
        self, step: FlagDocument, below: ObservedStep | None, deployed: DeployedFlag, until_s: float
    ) -> Deployment:
        words = exposure_in_words(step)
        record = ChangeRecord(self.actor, f"ramp {words}", self.reason, ramp=self.plan.name)
        while True:
            try:
                return self.control.deploy(step, record, since=deployed)
            except (CloudError, RolloutRefused) as error:
                why = f"{words} was not deployed: {error}"
                self.on_event(why)
            now = self._changes.deployed(why, deployed.document or step, until_s)
            own = own_deployment(now, deployed, step, record)
            if own is not None:
                return own
            if _numbers(now) != _numbers(deployed):
                is_own = now.newest is not None and is_record_of(now.newest, record)
                raise RampEnded(overtaken(step, now, is_own=is_own))
            if self.clock.now() >= until_s:
                raise RampEnded(RampReport(Ending.HELD, why, now.document or step))
            self.wait(self.plan.observe_every_s)
            # the step below passed before, and may fail by now
            deployed = now if below is None else self._bake(below)[0]

    def _bake(self, observed: ObservedStep) -> tuple[DeployedFlag, Observation]:
        plan, step = self.plan, observed.document
        words = exposure_in_words(step)
        while True:
            why, observation = "no figures were read", None
            try:
                deployed = self._still_in_force(observed)
                blocked = self._blocked(deployed)
                observation = observe(observed, plan.limits, self.figures, self.clock.now(), blocked)
            except CloudError as error:
                # an outage is no verdict: environments keep what they have, and so does the ramp
                self.on_event(f"{words} cannot be observed now, trying again: {error}")
            else:
                self.on_event(observation)
                if observation.verdict.outcome is Outcome.FAIL:
                    raise RampEnded(self._switch_off(observation, observed, deployed))
                has_baked = self.clock.now() - observed.waits_from_s >= plan.bake_s
                if has_baked and observation.verdict.outcome is Outcome.PASS and blocked is None:
                    return deployed, observation
                why = blocked or observation.verdict.summary
            waited_s = self.clock.now() - observed.waits_from_s
            if waited_s >= max(plan.patience_s, plan.bake_s):
                sentence = f"{words} has no verdict after {waited_s:.0f} s and is left as it is: {why}"
                raise RampEnded(RampReport(Ending.HELD, sentence, step, observation))
            self.wait(plan.observe_every_s)

    def _still_in_force(self, observed: ObservedStep) -> DeployedFlag:
        deployed, number = self.control.deployed(), observed.deployment.number
        if _numbers(deployed) == (number, number):
            if (other := self.taken_over_by()) is not None:
                raise RampEnded(taken_over(observed.document, other))
            return deployed
        report = overtaken(observed.document, deployed, is_own=_numbers(deployed)[1] == number)
        raise RampEnded(self._counted(report, observed) if report.ending is Ending.FAILED else report)

    def _blocked(self, deployed: DeployedFlag) -> str | None:
        if deployed.in_flight is not None:
            return f"AppConfig still watches deployment {deployed.in_flight.number}"
        try:
            alarm = self.firing_alarm()
        except CloudError as error:
            return f"whether an alarm fires is not known: {error}"
        return f"the alarm {alarm} fires" if alarm else None

    def _switch_off(self, observation: Observation, observed: ObservedStep, deployed: DeployedFlag) -> RampReport:
        step, figures = observation.document, observation.verdict.summary
        words, off = exposure_in_words(step), changed(step, {"enabled": False})
        record = ChangeRecord(self.actor, f"off, ramp {words}", figures)
        failing = f"{words} FAILS and cannot be switched off yet, trying again"
        try:
            first = self._changes.switch_off(off, record, observed.deployment, deployed, failing)
        except KeyboardInterrupt:
            sentence = f"{words} FAILS and may still be on, run `flagrank rollout off`: {figures}"
            return RampReport(Ending.FAILING, sentence, step, observation)
        if first is not None:
            sentence = f"{words} fails ({figures}), and somebody else was first: {first.record.render()}"
            return RampReport(Ending.OVERTAKEN, sentence, step, observation)
        failed = RampReport(Ending.FAILED, f"{words} failed and is off", off, observation)
        return self._counted(failed, observed, f": {figures}")

    def _counted(self, report: RampReport, observed: ObservedStep, why: str = "") -> RampReport:
        failed, plan, now_s = observed.deployment, self.plan, self.clock.now()
        try:
            recent = self.control.history(HISTORY_BEYOND + len(plan.percents))
            since_s = failed.started_at_s, ramp_began_s(recent, failed, plan.name)
            exposed, by_ramp = (self.figures.read(begin_s, now_s).treatment.requests for begin_s in since_s)
        except CloudError:
            return replace(report, sentence=f"{report.sentence}, after an unknown number of treated requests{why}")
        sentence = f"{report.sentence}, after {exposed} treated requests ({by_ramp} since the ramp began){why}"
        return replace(report, sentence=sentence, exposed=exposed, exposed_by_ramp=by_ramp)


def _numbers(deployed: DeployedFlag) -> tuple[int, int]:
    current, newest = deployed.deployment, deployed.newest
    return current.number if current else 0, newest.number if newest else 0
