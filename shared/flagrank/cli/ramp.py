"""`flagrank rollout ramp` and `watch`: the judge at work, step by step or just looking."""

import re
import time
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.live import Live

from flagrank.adapters.system_clock import SystemClock
from flagrank.cli.arms import arms_document, arms_table
from flagrank.cli.change import ActorOption, Asked, DryRunFlag, ReasonOption, in_force, label, who
from flagrank.cli.output import JsonFlag, emit_json, stderr, stdout
from flagrank.cli.target import Target, targeted
from flagrank.errors import CloudError
from flagrank.figures import Limit, Limits
from flagrank.ramp import Ending, Look, Ramp, RampPlan, RampReport, look, named

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
MICRO_USD = 1000.0


def seconds(text: str) -> float:
    """A duration as people write it, `90s`, `10m` or `2h`, in seconds; raises BadParameter for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not like 90s, 10m or 2h")
    return float(found[1]) * UNITS_S[found[2]]


def percentages(text: str) -> tuple[float, ...]:
    """`1,5,25` as numbers; raises BadParameter for anything else."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not like 1,5,25,50,100") from error


EveryOption = Annotated[Any, typer.Option(parser=seconds, metavar="DURATION", help="How often to look.")]
LatencyOption = Annotated[float | None, typer.Option(min=0, help="How far the treated p95 may be above the control's.")]
ErrorsOption = Annotated[
    float | None, typer.Option(min=0, max=100, help="How many more of the treated requests may fail, in percent.")
]
FallbacksOption = Annotated[
    float | None, typer.Option(min=0, max=100, help="How many more of the treated requests may fall back, in percent.")
]
CostOption = Annotated[float | None, typer.Option(min=0, help="What a thousand treated requests may cost in USD.")]


@targeted
def ramp(
    target: Target,
    percents: Annotated[Any, typer.Argument(parser=percentages, metavar="PERCENTS", help="Like 1,5,25,50,100.")],
    bake: Annotated[
        Any, typer.Option(parser=seconds, metavar="DURATION", help="How long a step stands at least.")
    ] = "10m",
    every: EveryOption = "60s",
    patience: Annotated[
        Any, typer.Option(parser=seconds, metavar="DURATION", help="After which a step that cannot be told is left.")
    ] = "2h",
    shadow: Annotated[bool, typer.Option(help="Begin with a step that asks the LLM and serves the baseline.")] = True,
    max_extra_errors: ErrorsOption = None,
    max_extra_fallbacks: FallbacksOption = None,
    max_extra_latency_ms: LatencyOption = None,
    max_usd_per_thousand: CostOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Raise the share step by step, and judge each step before the next; switch off at the first that fails.

    Ctrl-C leaves the flag where it is, and the same command goes on from there.
    """
    asked = Asked(target, actor, reason, dry_run, json)
    limits = _limits(max_extra_errors, max_extra_fallbacks, max_extra_latency_ms, max_usd_per_thousand)
    limits = replace(limits, steps=len(percents) + shadow)
    plan = RampPlan(percents, bake, every, patience, target.flip_s, shadow, limits)
    control = target.control()
    if dry_run:
        deployed = control.deployed()
        steps = [named(step) for step in plan.steps(in_force(deployed)[0])]
        told = {"changed": False, "version": label(deployed), "plan": steps, "bake_s": bake}
        asked.say(told, f"{', '.join(steps)}; {bake:g} s each at least")
        return
    climbing = Ramp(
        plan, control, target.figures(), SystemClock(), time.sleep, who(actor), reason, _tell, target.is_unhealthy
    )
    try:
        report = climbing.run()
    except KeyboardInterrupt:
        deployed = control.deployed()
        document, _ = in_force(deployed)
        left = named(document) if document.enabled else "off"
        asked.say(
            {"ending": "interrupted", "version": label(deployed), "document": document.model_dump(by_alias=True)},
            f"interrupted: the flag stays as it is, {left} ({label(deployed)}); the same command goes on from there",
        )
        raise typer.Exit(1) from None
    asked.say(_document(report), f"{report.ending}: {report.sentence}")
    if report.ending is not Ending.DONE:
        raise typer.Exit(1)


@targeted
def watch(
    target: Target,
    every: EveryOption = "15s",
    max_extra_errors: ErrorsOption = None,
    max_extra_fallbacks: FallbacksOption = None,
    max_extra_latency_ms: LatencyOption = None,
    max_usd_per_thousand: CostOption = None,
    json: JsonFlag = False,
) -> None:
    """Show both arms and the verdicts on the step in force, live; with --json, once."""
    limits = _limits(max_extra_errors, max_extra_fallbacks, max_extra_latency_ms, max_usd_per_thousand)
    plan = RampPlan((100.0,), flip_s=target.flip_s, limits=limits)
    control, figures = target.control(), target.figures()

    def seen() -> Look:
        deployed = control.deployed()
        document, standing = in_force(deployed)
        return look(document, standing, plan, figures, time.time(), target.is_unhealthy)

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
                live.update(arms_table(now.arms, now.verdict, title), refresh=True)
            try:
                time.sleep(every)
            except KeyboardInterrupt:
                return


def _limits(
    extra_errors: float | None, extra_fallbacks: float | None, extra_latency_ms: float | None, usd: float | None
) -> Limits:
    limits = Limits()
    if extra_errors is not None:
        limits = replace(limits, errors=replace(limits.errors, absolute=extra_errors / 100))
    if extra_fallbacks is not None:
        limits = replace(limits, fallbacks=replace(limits.fallbacks, absolute=extra_fallbacks / 100))
    if extra_latency_ms is not None:
        limits = replace(limits, p95_ms=replace(limits.p95_ms, absolute=extra_latency_ms))
    if usd is not None:
        limits = replace(limits, cost_micro_usd=Limit(ceiling=usd * MICRO_USD))
    return limits


def _tell(told: Look | str) -> None:
    if isinstance(told, str):
        stderr.print(told, markup=False)
        return
    verdict, requests = told.verdict, told.arms.treatment.requests
    why = told.blocked or (verdict.said if verdict.outcome != "pass" else "all within limits")
    line = f"{named(told.document)}, {told.stood_s:.0f} s, {requests} treated requests: {verdict.outcome}, {why}"
    stderr.print(line, markup=False)


def _document(report: RampReport) -> dict[str, Any]:
    seen = report.look
    return {
        "ending": report.ending,
        "sentence": report.sentence,
        "document": report.document.model_dump(mode="json", by_alias=True),
        "exposed": report.exposed,
        "look": {"stood_s": seen.stood_s, **arms_document(seen.arms, seen.verdict)} if seen else None,
    }
