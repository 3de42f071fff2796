"""`flagrank rollout`: the flag, from the command line."""

import getpass
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flagrank.cli.aws import aws_errors
from flagrank.cli.flag_file import read_flag
from flagrank.cli.output import JsonFlag, emit_json, stdout
from flagrank.cli.target import Target, targeted
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.rollout import FlagDocument

POLL_S = 15

app = typer.Typer(help="Look at the flag and change it.", no_args_is_help=True)

ActorOption = Annotated[str | None, typer.Option(help="Who changes it, for the record. [default: the user's name]")]
ReasonOption = Annotated[str, typer.Option(help="Why, for the record.")]


@app.command()
@targeted
def status(
    target: Target,
    json: JsonFlag = False,
) -> None:
    """Show what is deployed, what is in flight, and how long a change takes to reach every environment."""
    with aws_errors():
        deployed = target.control().deployed()
    document, newest = deployed.document, deployed.newest
    shown = {
        "document": document.model_dump(mode="json", by_alias=True) if document else None,
        "version": deployed.deployment.label if deployed.deployment else None,
        "deployed_at": deployed.deployment.started_at if deployed.deployment else None,
        "change": deployed.deployment.description if deployed.deployment else None,
        "in_flight": f"deployment {newest.number}: {newest.state}" if newest and newest.in_flight else None,
        "worst_case_flip_s": POLL_S,
    }
    if json:
        emit_json(shown)
        return
    if document is None:
        stdout.print("nothing is deployed: every user is in control")
    else:
        state = f"{document.percent:g} % treated" if document.enabled else "off"
        stdout.print(f"[bold]{state}[/], mode {document.mode}, alpha {document.alpha:g}, model {document.model_id}")
        stdout.print(f"{shown['version']} since {shown['deployed_at']}: {shown['change']}")
    if shown["in_flight"]:
        stdout.print(f"in flight: {shown['in_flight']}")
    stdout.print(f"a change reaches every environment within {POLL_S} s and its next request")


@app.command()
@targeted
def init(
    target: Target,
    document: Annotated[Path | None, typer.Option(help="The first document; treats nobody if none is given.")] = None,
    actor: ActorOption = None,
    reason: ReasonOption = "first document",
    json: JsonFlag = False,
) -> None:
    """Deploy a new stack's first flag document; refused where there is one."""
    first = read_flag(document) if document else FlagDocument()
    with aws_errors():
        control = target.control()
        deployed = control.deployed()
        if deployed.document is not None:
            raise RolloutRefused(f"{deployed.deployment.label} is deployed; change it with percent, on or off")
        deployment = control.deploy(first, actor=_who(actor), reason=f"init ({reason})")
    _said(json, {"changed": True, "version": deployment.label}, f"{deployment.label} is deployed")


@app.command()
@targeted
def percent(
    target: Target,
    value: Annotated[float, typer.Argument(min=0, max=100, help="Share of treated users, at most two decimals.")],
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    json: JsonFlag = False,
) -> None:
    """Set the share of treated users; everything else in the document stays."""
    _change(target, {"percent": value}, f"percent {value:g}", actor, reason, json)


@app.command()
@targeted
def on(
    target: Target,
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    json: JsonFlag = False,
) -> None:
    """Switch the reranker on for the share that is set."""
    _change(target, {"enabled": True}, "on", actor, reason, json)


@app.command()
@targeted
def off(
    target: Target,
    actor: ActorOption = None,
    reason: ReasonOption = "none given",
    json: JsonFlag = False,
) -> None:
    """The kill switch: everyone gets the baseline, whatever else is in flight."""
    _change(target, {"enabled": False}, "off", actor, reason, json, stop_in_flight=True)


def _change(
    target: Target,
    change: dict[str, Any],
    what: str,
    actor: str | None,
    reason: str,
    json: bool,
    *,
    stop_in_flight: bool = False,
) -> None:
    with aws_errors():
        control = target.control()
        deployed = control.deployed()
        if deployed.document is None:
            raise RolloutRefused("nothing is deployed yet; see `flagrank rollout init`")
        before: FlagDocument = deployed.document
        after = _changed(before, change)
        busy = deployed.newest is not None and deployed.newest.in_flight
        if after == before and not (stop_in_flight and busy):
            _said(json, {"changed": False, "version": deployed.deployment.label}, f"already so: {what}")
            return
        deployment = control.deploy(
            after, actor=_who(actor), reason=f"{what} ({reason})", stop_in_flight=stop_in_flight
        )
    document = {
        "changed": True,
        "version": deployment.label,
        "deployment": deployment.number,
        "worst_case_flip_s": POLL_S,
    }
    _said(json, document, f"{what}: {deployment.label} is deployed; every environment has it within {POLL_S} s")


def _who(actor: str | None) -> str:
    return actor or os.environ.get("USER") or getpass.getuser()


def _changed(before: FlagDocument, change: dict[str, Any]) -> FlagDocument:
    try:
        return FlagDocument.model_validate({**before.model_dump(by_alias=True), **change})
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigurationError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error


def _said(json: bool, document: dict[str, Any], line: str) -> None:
    if json:
        emit_json(document)
    else:
        stdout.print(line)
