"""`flagrank rollout`: the flag, from the command line."""

import itertools
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from flagrank.cli.arms import arms_document, arms_shown
from flagrank.cli.change import ChangeRequest, difference_lines, differences, version_name
from flagrank.cli.flag_file import read_flag
from flagrank.cli.option_groups import with_option_groups
from flagrank.cli.output import JsonFlag, emit_json, stderr, stdout
from flagrank.cli.target import Target
from flagrank.delivery.analysis.counts import Arms
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.verdict import Verdict, judge
from flagrank.delivery.deployments import DeployedFlag, Deployment
from flagrank.delivery.rollback import is_off, rollback_target, switch_off, switched_off
from flagrank.errors import CloudError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import treated_percent

# how many deployments a rollback searches at most; each costs a call
SEARCHED = 50
RUNBOOK = "infra/runbook.md"

app = typer.Typer(help="Look at the flag and change it.", no_args_is_help=True)


@app.command()
@with_option_groups
def status(
    target: Target,
    window: Annotated[float, typer.Option(min=1, help="How many minutes of figures.")] = 15.0,
    json: JsonFlag = False,
) -> None:
    """Show what is deployed and in flight, the last minutes of both arms, and how long a change takes at most."""
    deployed = target.control().deployed()
    document, busy, propagation_s = deployed.document, deployed.in_flight, target.propagation_s
    arms, window_s = _figures(target, 60 * window, deployed)
    shown: dict[str, Any] = {
        "document": document.model_dump(mode="json", by_alias=True) if document else None,
        "version": deployed.deployment and version_name(deployed),
        "deployed_at": deployed.deployment and _time(deployed.deployment),
        "change": deployed.deployment and deployed.deployment.record.render(),
        "unreadable": deployed.unreadable,
        "in_flight": busy.progress(time.time()) if busy else None,
        "worst_case_flip_s": propagation_s,
        "dashboard": _dashboard(target),
        "runbook": RUNBOOK,
        "figures": {"window_s": window_s, **arms_document(*arms)} if arms else None,
    }
    if json:
        emit_json(shown)
        return
    _print_document(deployed)
    if deployed.deployment:
        stdout.print(f"{shown['version']} since {shown['deployed_at']}: {shown['change']}", markup=False)
    if busy:
        stdout.print(f"in flight: {shown['in_flight']}", markup=False)
    if arms:
        stdout.print(arms_shown(*arms, f"the last {window_s / 60:.1f} minutes"))
    stdout.print(f"a change reaches every environment within {propagation_s:g} s and its next request")
    stdout.print(f"dashboard: {shown['dashboard']}; runbook: {RUNBOOK}", markup=False)


@app.command()
@with_option_groups
def init(
    request: ChangeRequest,
    document: Annotated[Path | None, typer.Option(help="The first document; treats nobody if none is given.")] = None,
) -> None:
    """Deploy the first flag document of a new stack; refused if there is one."""
    first = read_flag(document) if document else FlagDocument()
    record = request.record("init", default_reason="first document")
    control = request.target.control()
    deployed = control.deployed()
    if deployed.deployment is not None:
        raise RolloutRefused(f"{version_name(deployed)} is deployed; change it with percent, on or off")
    if request.dry_run:
        plan = {"changed": False, "plan": first.model_dump(mode="json", by_alias=True)}
        request.show(plan, "it would be deployed")
    else:
        request.show_done(control.deploy(first, record, since=deployed), "init", FlagDocument(), first)


@app.command()
@with_option_groups
def percent(
    request: ChangeRequest,
    value: Annotated[float, typer.Argument(min=0, max=100, help="Percentage of treated users, two decimals at most.")],
) -> None:
    """Set the percentage of treated users; everything else in the document stays."""
    request.apply({"percent": value}, f"percent {value:g}")


@app.command()
@with_option_groups
def on(request: ChangeRequest) -> None:
    """Switch the reranker on for the percentage that is set."""
    request.apply({"enabled": True}, "on")


@app.command()
@with_option_groups
def off(request: ChangeRequest) -> None:
    """The kill switch: give everyone the baseline, whatever else is in flight, and whichever alarm fires."""
    control, record = request.target.control(), request.record("off")
    deployed = control.deployed()
    if request.dry_run and not is_off(deployed):
        request.show_plan(deployed, switched_off(control, deployed), "off", urgent=True)
        return
    made = None if request.dry_run else switch_off(control, record, since=deployed)
    if made is None:
        request.show_unchanged(deployed, "off")
    else:
        after = (deployed.document or FlagDocument()).model_copy(update={"enabled": False})
        request.show_done(made, "off", deployed.document, after)


@app.command()
@with_option_groups
def rollback(request: ChangeRequest) -> None:
    """Go back to the last version that nobody rolled back from, whatever else is in flight; exposure never rises."""
    control = request.target.control()
    deployed = control.deployed()
    found = rollback_target(itertools.islice(control.deployments(), SEARCHED), control.document)
    if found is None:
        is_on = deployed.document is None or deployed.document.enabled
        why = "no good version treats fewer users" if is_on else "everyone gets the baseline already"
        down = "switch it off with `flagrank rollout off`, or " if is_on else ""
        raise RolloutRefused(f"nothing to go back to, {why}: {down}go up with `on` or `ramp`")
    good, document = found
    change = f"rollback to {good.name}"
    if request.dry_run:
        request.show_plan(deployed, document, change, urgent=True)
    else:
        made = control.redeploy(good.version, request.record(change), since=deployed)
        request.show_done(made, change, deployed.document, document)


@app.command()
@with_option_groups
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
        line = f"{entry.number:>4}  {entry.name:<6} {_time(entry)}  {entry.record.render()}"
        stdout.print(line + state, markup=False)


@app.command()
@with_option_groups
def diff(
    target: Target,
    first: Annotated[str, typer.Argument(help="A version, as `history` shows it.")],
    second: Annotated[str, typer.Argument(help="Another version.")],
    json: JsonFlag = False,
) -> None:
    """Show in which fields two versions of the document differ."""
    control = target.control()
    differing = differences(control.document(first), control.document(second))
    if json:
        emit_json({"first": first, "second": second, "differences": differing})
        return
    stdout.print("\n".join(difference_lines(differing)) or "no difference")


def _print_document(deployed: DeployedFlag) -> None:
    document = deployed.document
    if deployed.unreadable:
        stdout.print(f"[bold red]unreadable[/]: {escape(deployed.unreadable)}")
        stdout.print("environments keep the last document that they could read, and new ones treat nobody:")
        stdout.print("replace it with `flagrank rollout off` or `rollback`")
    elif document is None:
        stdout.print("nothing is deployed: every user is in control")
    else:
        state = f"{document.percent:g} % treated" if document.enabled else "off"
        stdout.print(f"[bold]{state}[/], mode {document.mode}, alpha {document.alpha:g}, model {document.model_id}")


def _dashboard(target: Target) -> str:
    try:
        return target.dashboard()
    except CloudError as error:
        return f"not known: {error}"


def _figures(target: Target, window_s: float, deployed: DeployedFlag) -> tuple[tuple[Arms, Verdict] | None, float]:
    document, deployment, now_s = deployed.document, deployed.deployment, time.time()
    if document is None or deployment is None:
        return None, 0.0
    # before every environment had it, another percentage was treated
    window_s = max(0.0, min(window_s, now_s - deployment.started_at_s - target.propagation_s))
    try:
        arms = target.figures().read(now_s - window_s, now_s) if window_s else Arms()
    except CloudError as error:
        # what is deployed is worth showing all the same
        stderr.print(f"no figures: {error}", markup=False)
        return None, window_s
    return (arms, judge(arms.treatment, arms.control, Limits(), treated_percent(document))), window_s


def _entry(entry: Deployment) -> dict[str, Any]:
    return {
        "deployment": entry.number,
        "version": entry.name,
        "at": _time(entry),
        "actor": entry.record.actor,
        "change": entry.record.summary,
        "state": entry.state,
    }


def _time(entry: Deployment) -> str:
    return entry.started_at.isoformat(timespec="seconds")
