"""What every command that changes the flag shares: who, why, a plan first, and one way to do it."""

import getpass
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flagrank.cli.output import emit_json, stdout
from flagrank.cli.target import Target
from flagrank.delivery.deployments import DeployedFlag, Deployment, in_force
from flagrank.delivery.guard import ACTOR
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument, problem
from flagrank.flags.exposure import lowers_exposure, treated_percent

ActorOption = Annotated[str | None, typer.Option(help="Who changes it, for the record. [default: the user's name]")]
ReasonOption = Annotated[str, typer.Option(help="Why, for the record.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """How a change is asked for: where, by whom, why, and whether as a plan alone."""

    target: Target
    actor: str | None
    reason: str
    dry_run: bool
    json: bool

    def apply(self, change: Mapping[str, Any], what: str) -> None:
        """Changes fields of the document in force; where that lowers exposure, whatever else is in flight."""
        control = self.target.control()
        deployed = control.deployed()
        before, _ = in_force(deployed)
        after = changed(before, change)
        if after == before:
            self.unchanged(deployed, what)
        elif self.dry_run:
            self.plan(deployed, after, what, urgent=lowers_exposure(before, after))
        else:
            reason = f"{what} ({self.reason})"
            made = control.deploy(after, actor=who(self.actor), reason=reason, since=deployed)
            self.done(made, what, before, after)

    def plan(self, deployed: DeployedFlag, after: FlagDocument, what: str, *, urgent: bool) -> None:
        """Says what would change; raises RolloutRefused where it would be refused."""
        busy = deployed.in_flight
        if busy and not urgent:
            raise RolloutRefused(busy.doing(time.time()))
        before = deployed.document
        differing = differences(before, after)
        lines = [f"{name}: {old} -> {new}" for name, (old, new) in differing.items()]
        if busy:
            fate = "waited for" if deployed.must_end else "stopped"
            lines.append(f"deployment {busy.number} would be {fate}: {busy.description}")
        plan = {
            "changed": False,
            "version": label(deployed),
            "plan": differing,
            "stops": busy.number if busy and not deployed.must_end else None,
            "worst_case_flip_s": self.target.propagation_s,
        }
        told = (
            f"{what}, {moved(before, after)}, would change {label(deployed)}, within {self.target.propagation_s:g} s:"
        )
        self.say(plan, "\n".join([told, *lines]))

    def unchanged(self, deployed: DeployedFlag, what: str) -> None:
        """Says that there is nothing to do."""
        self.say({"changed": False, "version": label(deployed)}, f"already so: {what}")

    def done(self, deployment: Deployment, what: str, before: FlagDocument | None, after: FlagDocument) -> None:
        """Says what was deployed, and when everybody has it."""
        propagation_s = self.target.propagation_s
        told = {
            "changed": True,
            "version": deployment.name,
            "deployment": deployment.number,
            "state": deployment.state,
            "before": treated_percent(before) if before else None,
            "after": treated_percent(after),
            "worst_case_flip_s": propagation_s,
        }
        arrives = f"is deployed; every environment has it within {propagation_s:g} s"
        if deployment.arriving:
            arrives = f"was started and is not confirmed yet ({deployment.state}); see `flagrank rollout status`"
        elif deployment.in_flight:
            left_s = max(0.0, deployment.ends_at_s - time.time())
            arrives += f", and AppConfig's monitors watch it for up to {left_s:.0f} s"
        self.say(told, f"{what}, {moved(before, after)}: {deployment.name} {arrives}")

    def say(self, document: dict[str, Any], line: str) -> None:
        """The outcome, for a program or for a person."""
        if self.json:
            emit_json(document)
        else:
            stdout.print(line, markup=False)


def who(actor: str | None) -> str:
    """The name for the record, without the colon that ends it; raises ConfigurationError for the guard's."""
    name = " ".join((actor or _user()).replace(":", "").split())
    if not name or name.casefold() == ACTOR:
        raise ConfigurationError(f"--actor {name or repr(actor)}: say who you are, for the record")
    return name


def label(deployed: DeployedFlag) -> str:
    """The version in force."""
    return deployed.deployment.name if deployed.deployment else ""


def changed(before: FlagDocument, change: Mapping[str, Any]) -> FlagDocument:
    """The document with fields changed; raises ConfigurationError naming the field that would be invalid."""
    try:
        return FlagDocument.model_validate({**before.model_dump(by_alias=True), **change})
    except ValidationError as error:
        raise ConfigurationError(problem(error)) from error


def differences(before: FlagDocument | None, after: FlagDocument) -> dict[str, tuple[Any, Any]]:
    """Field by field, what it was and what it is; every field where nobody knows what was."""
    new = after.model_dump(mode="json", by_alias=True)
    old = before.model_dump(mode="json", by_alias=True) if before else dict.fromkeys(new)
    return {name: (old[name], new[name]) for name in new if old[name] != new[name]}


def moved(before: FlagDocument | None, after: FlagDocument) -> str:
    """Who is treated, before and after, as people say it."""
    if before is not None and not before.enabled and not after.enabled:
        return f"still off, {after.percent:g} % once it is on"
    told = f"{shown(before) if before else 'unreadable'} -> {shown(after)}"
    if before is not None and not before.enabled and treated_percent(after) > 0:
        told += " of the users at once"
    return told


def shown(document: FlagDocument) -> str:
    """Who is treated, as people say it."""
    if not document.enabled:
        return "off"
    return f"{document.percent:g} %" + (" in shadow" if document.mode == "shadow" else "")


def _user() -> str:
    try:
        return os.environ.get("USER") or getpass.getuser()
    except OSError:  # a container's user may have no name
        return "unknown"
