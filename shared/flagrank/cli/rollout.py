"""`flagrank rollout`: the flag, from the command line."""

import itertools
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from flagrank.cli.arms import arms_document, arms_shown
from flagrank.cli.change import ActorOption, Asked, DryRunFlag, ReasonOption, differences, label, who
from flagrank.cli.flag_file import read_flag
from flagrank.cli.output import JsonFlag, emit_json, stderr, stdout
from flagrank.cli.target import Target, targeted
from flagrank.delivery.analysis.counts import Arms
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.verdict import Verdict, judge
from flagrank.delivery.deployments import DeployedFlag, Deployment
from flagrank.delivery.rollback import is_off, rollback_target, switch_off, switched_off
from flagrank.errors import CloudError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import treated_percent

# deployments, each a call if it comes to that: a day of a busy operator
LOOKED_BACK = 50

app = typer.Typer(help="Look at the flag and change it.", no_args_is_help=True)


@app.command()
@targeted
def status(
    target: Target,
    window: Annotated[float, typer.Option(min=1, help="How many minutes of figures.")] = 15.0,
    json: JsonFlag = False,
) -> None:
    """Show what is deployed and in flight, both arms' last minutes, and how long a change takes at most."""
    deployed = target.control().deployed()
    document, busy, propagation_s = deployed.document, deployed.in_flight, target.propagation_s
    arms, window_s = _figures(target, 60 * window, deployed)
    shown: dict[str, Any] = {
        "document": document.model_dump(mode="json", by_alias=True) if document else None,
        "version": deployed.deployment and label(deployed),
        "deployed_at": deployed.deployment and deployed.deployment.started_at,
        "change": deployed.deployment and deployed.deployment.description,
        "unreadable": deployed.unreadable,
        "in_flight": busy.doing(time.time()) if busy else None,
        "worst_case_flip_s": propagation_s,
        "figures": {"window_s": window_s, **arms_document(*arms)} if arms else None,
    }
    if json:
        emit_json(shown)
        return
    if deployed.unreadable:
        stdout.print(f"[bold red]unreadable[/]: {escape(deployed.unreadable)}")
        stdout.print("environments keep the last document that they could read, and new ones treat nobody:")
        stdout.print("replace it with `flagrank rollout off` or `rollback`")
    elif document is None:
        stdout.print("nothing is deployed: every user is in control")
    else:
        state = f"{document.percent:g} % treated" if document.enabled else "off"
        stdout.print(f"[bold]{state}[/], mode {document.mode}, alpha {document.alpha:g}, model {document.model_id}")
    if deployed.deployment:
        stdout.print(f"{shown['version']} since {shown['deployed_at']}: {shown['change']}", markup=False)
    if busy:
        stdout.print(f"in flight: {shown['in_flight']}", markup=False)
    if arms:
        stdout.print(arms_shown(*arms, f"the last {window_s / 60:.1f} minutes"))
    stdout.print(f"a change reaches every environment within {propagation_s:g} s and its next request")


@app.command()
@targeted
def init(
    target: Target,
    document: Annotated[Path | None, typer.Option(help="The first document; treats nobody if none is given.")] = None,
    actor: ActorOption = None,
    reason: ReasonOption = "first document",
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Deploy a new stack's first flag document; refused where there is one."""
    asked = Asked(target, actor, reason, dry_run, json)
    first = read_flag(document) if document else FlagDocument()
    control = target.control()
    deployed = control.deployed()
    if deployed.deployment is not None:
        raise RolloutRefused(f"{label(deployed)} is deployed; change it with percent, on or off")
    if dry_run:
        asked.say({"changed": False, "plan": first.model_dump(mode="json", by_alias=True)}, "it would be deployed")
    else:
        made = control.deploy(first, actor=who(actor), reason=f"init ({reason})", since=deployed)
        asked.done(made, "init", FlagDocument(), first)


@app.command()
@targeted
def percent(
    target: Target,
    value: Annotated[float, typer.Argument(min=0, max=100, help="Share of treated users, at most two decimals.")],
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Set the share of treated users; everything else in the document stays."""
    Asked(target, actor, reason, dry_run, json).apply({"percent": value}, f"percent {value:g}")


@app.command()
@targeted
def on(
    target: Target,
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Switch the reranker on for the share that is set."""
    Asked(target, actor, reason, dry_run, json).apply({"enabled": True}, "on")


@app.command()
@targeted
def off(
    target: Target,
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """The kill switch: everyone gets the baseline, whatever else is in flight, and whichever alarm rings."""
    asked = Asked(target, actor, reason, dry_run, json)
    control = target.control()
    deployed = control.deployed()
    if dry_run and not is_off(deployed):
        asked.plan(deployed, switched_off(control, deployed), "off", urgent=True)
        return
    made = None if dry_run else switch_off(control, actor=who(actor), reason=f"off ({reason})", since=deployed)
    if made is None:
        asked.unchanged(deployed, "off")
    else:
        off = (deployed.document or FlagDocument()).model_copy(update={"enabled": False})
        asked.done(made, "off", deployed.document, off)


@app.command()
@targeted
def rollback(
    target: Target,
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Go back to the last version that nobody retreated from, whatever else is in flight; exposure never rises."""
    asked = Asked(target, actor, reason, dry_run, json)
    control = target.control()
    deployed = control.deployed()
    back = rollback_target(itertools.islice(control.deployments(), LOOKED_BACK), control.document)
    if back is None:
        treats = deployed.document is None or deployed.document.enabled
        why = "no good version treats fewer users" if treats else "everyone gets the baseline already"
        down = "switch it off with `flagrank rollout off`, or " if treats else ""
        raise RolloutRefused(f"nothing to go back to, {why}: {down}go up with `on` or `ramp`")
    good, document = back
    what = f"rollback to {good.name}"
    if dry_run:
        asked.plan(deployed, document, what, urgent=True)
    else:
        reason = f"{what} ({reason})"
        made = control.redeploy(good.version, actor=who(actor), reason=reason, since=deployed)
        asked.done(made, what, deployed.document, document)


@app.command()
@targeted
def history(
    target: Target,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many deployments.")] = 20,
    json: JsonFlag = False,
) -> None:
    """Show who changed the flag, when, what and why; the newest first."""
    deployments = target.control().history(limit)
    if json:
        emit_json({"deployments": [_entry(entry) for entry in deployments]})
        return
    for entry in deployments:
        state = "" if entry.state == "COMPLETE" else f"  [{entry.state}]"
        told = f"{entry.number:>4}  {entry.name:<6} {entry.started_at}  {entry.actor}: {entry.change}"
        stdout.print(told + state, markup=False)


@app.command()
@targeted
def diff(
    target: Target,
    first: Annotated[str, typer.Argument(help="A version, as `history` shows it.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    json: JsonFlag = False,
) -> None:
    """Show in which fields two versions of the document differ."""
    control = target.control()
    differing = differences(control.document(first), control.document(second))
    if json:
        emit_json({"first": first, "second": second, "differences": differing})
        return
    stdout.print("\n".join(f"{name}: {old} -> {new}" for name, (old, new) in differing.items()) or "no difference")


def _figures(target: Target, window_s: float, deployed: DeployedFlag) -> tuple[tuple[Arms, Verdict] | None, float]:
    document, deployment, now_s = deployed.document, deployed.deployment, time.time()
    if document is None or deployment is None:
        return None, 0.0
    # before everybody had it, another share was treated
    window_s = max(0.0, min(window_s, now_s - deployment.started_at_s - target.propagation_s))
    try:
        arms = target.figures().read(now_s - window_s, now_s) if window_s else Arms()
    except CloudError as error:
        # what is deployed is worth knowing even then
        stderr.print(f"no figures: {error}", markup=False)
        return None, window_s
    return (arms, judge(arms.treatment, arms.control, Limits(), treated_percent(document))), window_s


def _entry(entry: Deployment) -> dict[str, Any]:
    return {
        "deployment": entry.number,
        "version": entry.name,
        "at": entry.started_at,
        "actor": entry.actor,
        "change": entry.change,
        "state": entry.state,
    }
