"""`flagrank rollout ramp` and `watch`: the judge at work, step by step or just looking."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer
from rich.live import Live

from flagrank.adapters.system_clock import SystemClock
from flagrank.cli.arms import arms_document, arms_shown
from flagrank.cli.change import ActorOption, Asked, DryRunFlag, ReasonOption, label, who
from flagrank.cli.limits import EveryOption, limited, limits_document, limits_summary, percentages, seconds
from flagrank.cli.output import JsonFlag, emit_json, stderr, stdout
from flagrank.cli.target import Target, targeted
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.deployments import DeployedFlag, RolloutControl, in_force
from flagrank.delivery.observation import Observation, ObservedStep, observe, start_observation
from flagrank.delivery.plan import RampPlan, named
from flagrank.delivery.ramp import Ending, Ramp, RampReport
from flagrank.errors import CloudError
from flagrank.flags.document import FlagDocument

# how far back `watch` begins to judge: what lies further back would dilute what is happening now
WATCHED_S = 900.0


@dataclass(slots=True)
class Interrupts:
    """Ctrl-C, heard while a ramp waits and not while it acts; the second one at once.

    Raised anywhere, it could leave a version without its deployment, or a lock that the last call to AWS waits for.
    """

    _asked: bool = False
    _waiting: bool = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Has the block interrupted like this."""
        before = signal.signal(signal.SIGINT, self._heed)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def wait(self, seconds: float) -> None:
        """Sleeps; raises KeyboardInterrupt if it came meanwhile or since the last time."""
        self._waiting = True
        try:
            if self._asked:
                raise KeyboardInterrupt
            time.sleep(seconds)
        finally:
            self._waiting = False

    def _heed(self, *_: object) -> None:
        if self._waiting or self._asked:
            raise KeyboardInterrupt
        self._asked = True


@targeted
@limited
def ramp(
    target: Target,
    percents: Annotated[str, typer.Argument(metavar="PERCENTS", help="Like 1,5,25,50,100.")],
    *,
    bake: Annotated[Any, typer.Option(parser=seconds, metavar="TIME", help="How long a step stands at least.")] = "10m",
    every: EveryOption = "60s",
    patience: Annotated[
        Any, typer.Option(parser=seconds, metavar="TIME", help="After which a step that cannot be told is left.")
    ] = "2h",
    shadow: Annotated[bool, typer.Option(help="Begin with a step that asks the LLM and serves the baseline.")] = True,
    limits: Limits,
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Raise the share step by step, and judge each step before the next; switch off at the first that fails.

    Ctrl-C leaves the flag where it is, and the same command goes on from there.
    """
    steps_percent, asked = percentages(percents), Asked(target, actor, reason, dry_run, json)
    limits = replace(limits, steps=len(steps_percent) + shadow)
    plan = RampPlan(steps_percent, bake, every, patience, target.propagation_s, shadow, limits)
    control = target.control()
    if dry_run:
        deployed = control.deployed()
        asked.say(*_planned(plan, deployed, plan.begun(deployed)))
        return
    figures, interrupts = target.figures(), Interrupts()
    climbing = Ramp(plan, control, figures, SystemClock(), interrupts.wait, who(actor), reason, _tell, target.ringing)
    try:
        with interrupts.heeded():
            report = climbing.run()
    except KeyboardInterrupt:
        asked.say(*_interrupted(control))
        raise typer.Exit(1) from None
    asked.say(_document(report), f"{report.ending}: {report.sentence}")
    if report.ending is not Ending.DONE:
        raise typer.Exit(1)


@targeted
@limited
def watch(
    target: Target,
    *,
    every: EveryOption = "15s",
    limits: Limits,
    json: JsonFlag = False,
) -> None:
    """Show both arms and the verdicts on the step in force, live; with --json, once."""
    control, figures, begun_s = target.control(), target.figures(), time.time()

    def seen() -> Observation:
        standing = _found(control.deployed(), target.propagation_s, begun_s)
        alarm = target.ringing()
        return observe(standing, limits, figures, time.time(), alarm and f"the alarm {alarm} is on")

    if json:
        now = seen()
        emit_json({"stood_s": now.stood_s, "blocked": now.blocked, **arms_document(now.arms, now.verdict)})
        return
    with Live(console=stdout, auto_refresh=False) as live:
        while True:
            try:
                now = seen()
            except CloudError as error:
                live.console.print(f"looking again: {error}", markup=False)
            else:
                state = named(now.document) if now.document.enabled else "off"
                title = f"{state}, for {now.stood_s:.0f} s: {now.verdict.outcome}" + (
                    f" ({now.blocked})" if now.blocked else ""
                )
                live.update(arms_shown(now.arms, now.verdict, title), refresh=True)
            try:
                time.sleep(every)
            except KeyboardInterrupt:
                return


def _found(deployed: DeployedFlag, propagation_s: float, begun_s: float) -> ObservedStep:
    document, deployment = in_force(deployed)
    return start_observation(document, deployment, propagation_s, begun_s, WATCHED_S)


def _planned(plan: RampPlan, deployed: DeployedFlag, steps: Sequence[FlagDocument]) -> tuple[dict[str, Any], str]:
    names = [named(step) for step in steps]
    told = {
        "changed": False,
        "version": label(deployed),
        "plan": names,
        "bake_s": plan.bake_s,
        "every_s": plan.look_every_s,
        "patience_s": plan.patience_s,
        "limits": limits_document(plan.limits),
    }
    pace = f"{plan.bake_s:g} s each at least, a look every {plan.look_every_s:g} s, {plan.patience_s:g} s of patience"
    return told, f"{', '.join(names)}; {pace}\nlimits: {limits_summary(plan.limits)}"


def _interrupted(control: RolloutControl) -> tuple[dict[str, Any], str]:
    try:
        deployed = control.deployed()
    except CloudError as error:
        return {"ending": "interrupted"}, f"interrupted: the flag stays as it is, and cannot be read now: {error}"
    document, _ = in_force(deployed)
    left = named(document) if document.enabled else "off"
    told = {"ending": "interrupted", "version": label(deployed), "document": document.model_dump(by_alias=True)}
    line = f"interrupted: the flag stays as it is, {left} ({label(deployed)}); the same command goes on from there"
    return told, line


def _tell(told: Observation | str) -> None:
    if isinstance(told, str):
        stderr.print(told, markup=False)
        return
    verdict, requests = told.verdict, told.arms.treatment.requests
    why = told.blocked or (verdict.summary if verdict.outcome != "pass" else "all within limits")
    line = f"{named(told.document)}, {told.stood_s:.0f} s, {requests} treated requests: {verdict.outcome}, {why}"
    stderr.print(line, markup=False)


def _document(report: RampReport) -> dict[str, Any]:
    seen = report.look
    return {
        "ending": report.ending,
        "sentence": report.sentence,
        "document": report.document.model_dump(mode="json", by_alias=True),
        "exposed": report.exposed,
        "exposed_by_ramp": report.exposed_by_ramp,
        "look": {"stood_s": seen.stood_s, **arms_document(seen.arms, seen.verdict)} if seen else None,
    }
