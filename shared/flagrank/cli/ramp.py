"""`flagrank rollout ramp` and `watch`: the flag, judged step by step, or only observed."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.live import Live

from flagrank.adapters.system_clock import SystemClock
from flagrank.cli.arms import arms_document
from flagrank.cli.change import ChangeRequest, version_name
from flagrank.cli.exit_codes import ExitCode
from flagrank.cli.interrupts import Interrupts
from flagrank.cli.limits import EveryOption, limited, seconds
from flagrank.cli.option_groups import with_option_groups
from flagrank.cli.output import JsonFlag, emit_json, stderr, stdout
from flagrank.cli.ramp_lease import RampLease, refuse_during_a_ramp
from flagrank.cli.ramp_plan import forecast_of, next_command, plan_shown
from flagrank.cli.ramp_view import RampView, arms_view
from flagrank.cli.target import Target
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import RolloutControl, in_force
from flagrank.delivery.observation import Observation, observe, start_observation
from flagrank.delivery.plan import RampPlan
from flagrank.delivery.ramp import Ramp
from flagrank.delivery.ramp_report import Ending, RampReport
from flagrank.errors import CloudError
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure_in_words

# how far back the figures of `watch` begin: older ones would dilute what is happening now
WATCHED_S = 900.0

CODES = {
    Ending.FAILED: ExitCode.FAILED,
    Ending.FAILING: ExitCode.FAILED,
    Ending.HELD: ExitCode.HELD,
    Ending.OVERTAKEN: ExitCode.OVERTAKEN,
}


def percentages(text: str) -> tuple[float, ...]:
    """`1,5,25` as numbers; raises BadParameter if a part is no number. What a ramp may be is for RampPlan to say."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not like 1,5,25,50,100: {error}") from error


@with_option_groups
@limited
def ramp(
    request: ChangeRequest,
    percents: Annotated[str, typer.Argument(metavar="PERCENTS", help="Like 1,5,25,50,100.")],
    *,
    bake: Annotated[
        Any, typer.Option(parser=seconds, metavar="TIME", help="How long each step is in force at least.")
    ] = "10m",
    every: EveryOption = "60s",
    patience: Annotated[
        Any, typer.Option(parser=seconds, metavar="TIME", help="After how long a step without a verdict is left.")
    ] = "2h",
    shadow: Annotated[bool, typer.Option(help="Begin with a step that asks the LLM and serves the baseline.")] = True,
    limits: Limits,
) -> None:
    """Raise the percentage step by step, and judge each step before the next; switch off at the first that fails.

    Ctrl-C leaves the flag where it is, and the same command goes on from there.
    """
    steps = percentages(percents)
    plan = RampPlan(steps, bake, every, patience, shadow, replace(limits, steps=len(steps) + shadow))
    control, record = request.target.control(), request.record("ramp")
    deployed = control.deployed()
    remaining = plan.remaining_steps(deployed)
    if request.dry_run:
        if not request.take_over:
            refuse_during_a_ramp(request.target.leases, request.tell)
        request.show(*plan_shown(plan, deployed, remaining, forecast_of(plan, remaining, request.target)))
        return
    report = _run(plan, control, request, record, remaining)
    following = next_command(report, plan, sys.argv[1:])
    line = f"{report.ending}: {report.sentence}" + (f"\nnext: {following}" if following else "")
    request.show(_report(report) | {"next": following}, line)
    if report.ending is not Ending.DONE:
        raise typer.Exit(CODES[report.ending])


@with_option_groups
@limited
def watch(
    target: Target,
    *,
    every: EveryOption = "15s",
    limits: Limits,
    json: JsonFlag = False,
) -> None:
    """Show both arms and the verdicts on what is in force, live; with --json, once."""
    control, figures, began_s = target.control(), target.figures(), time.time()

    def observe_now() -> Observation:
        document, deployment = in_force(control.deployed())
        step = start_observation(document, deployment, target.propagation_s, began_s, WATCHED_S)
        alarm = target.firing_alarm()
        return observe(step, limits, figures, time.time(), alarm and f"the alarm {alarm} fires")

    if json:
        seen = observe_now()
        emit_json({"stood_s": seen.in_force_s, "blocked": seen.blocked, **arms_document(seen.arms, seen.verdict)})
        return
    with Live(console=stdout, auto_refresh=False) as live:
        while True:
            try:
                seen = observe_now()
            except CloudError as error:
                live.console.print(f"trying again: {error}", markup=False)
            else:
                shown = arms_view(seen, target.look_further).shown(live.console if live.console.is_terminal else None)
                live.update(shown, refresh=True)
            try:
                time.sleep(every)
            except KeyboardInterrupt:
                return


def _run(
    plan: RampPlan, control: RolloutControl, request: ChangeRequest, record: ChangeRecord, steps: Sequence[FlagDocument]
) -> RampReport:
    """Runs the ramp to its end; an interruption is told, and exits."""
    target, clock, interrupts = request.target, SystemClock(), Interrupts()
    view = RampView(stderr, _ladder(plan, steps), target.look_further, is_quiet=request.json)
    lease = RampLease(target.leases, record.actor, plan.name, plan.observe_every_s, clock, view.tell)
    with lease.kept(over=request.take_over):
        for line in forecast_of(plan, steps, target)[1]:
            view.tell(line)
        running = Ramp(
            plan,
            control,
            target.figures(),
            clock,
            interrupts.wait,
            record.actor,
            record.reason,
            view.tell,
            target.firing_alarm,
            target.propagation_s,
            lease.taken_over_by,
        )
        try:
            with interrupts.handled(), view.shown():
                return running.run()
        except KeyboardInterrupt:
            request.show(*_interrupted(control))
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def _ladder(plan: RampPlan, remaining: Sequence[FlagDocument]) -> list[str]:
    """Every step in words, those that are behind as well; the shadow where the ramp still begins with it."""
    shadow = [exposure_in_words(remaining[0])] if remaining[0].mode == "shadow" else []
    return shadow + [f"{percent:g} %" for percent in plan.percents]


def _interrupted(control: RolloutControl) -> tuple[dict[str, Any], str]:
    try:
        deployed = control.deployed()
    except CloudError as error:
        return {"ending": "interrupted"}, f"interrupted: the flag stays as it is, and cannot be read now: {error}"
    document, _ = in_force(deployed)
    version = version_name(deployed)
    left = f"the flag stays as it is, {exposure_in_words(document)} ({version}); the same command goes on from there"
    ended = {"ending": "interrupted", "version": version, "document": document.model_dump(by_alias=True)}
    return ended, f"interrupted: {left}"


def _report(report: RampReport) -> dict[str, Any]:
    seen = report.observation
    return {
        "ending": report.ending,
        "sentence": report.sentence,
        "document": report.document.model_dump(mode="json", by_alias=True),
        "exposed": report.exposed,
        "exposed_by_ramp": report.exposed_by_ramp,
        "look": {"stood_s": seen.in_force_s, **arms_document(seen.arms, seen.verdict)} if seen else None,
    }
