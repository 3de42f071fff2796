"""What every command that changes the flag shares: who, why, a plan first, and one way to do it."""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flagrank.cli.output import emit_json, stdout
from flagrank.cli.target import Target
from flagrank.deployments import DeployedFlag, Deployment
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.rollout import FlagDocument

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

    def apply(self, change: Mapping[str, Any], what: str, *, urgent: bool = False) -> None:
        """Changes fields of the document in force; an urgent one stops what is in flight."""
        control = self.target.control()
        deployed = control.deployed()
        before, _ = in_force(deployed)
        after = changed(before, change)
        if after == before and not (urgent and deployed.in_flight):
            self.say({"changed": False, "version": label(deployed)}, f"already so: {what}")
        elif self.dry_run:
            self.plan(deployed, after, what, urgent=urgent)
        else:
            reason = f"{what} ({self.reason})"
            self.done(control.deploy(after, actor=who(self.actor), reason=reason, urgent=urgent, since=deployed), what)

    def plan(self, deployed: DeployedFlag, after: FlagDocument, what: str, *, urgent: bool) -> None:
        """Says what would change; raises RolloutRefused where it would be refused."""
        busy = deployed.in_flight
        if busy and not urgent:
            raise RolloutRefused(f"deployment {busy.number} is {busy.state}: {busy.description}")
        differing = differences(in_force(deployed)[0], after)
        lines = [f"{name}: {old} -> {new}" for name, (old, new) in differing.items()]
        if busy:
            lines.append(f"deployment {busy.number} would be stopped: {busy.description}")
        plan = {
            "changed": False,
            "version": label(deployed),
            "plan": differing,
            "stops": busy.number if busy else None,
            "worst_case_flip_s": self.target.flip_s,
        }
        self.say(plan, "\n".join([f"{what} would change {label(deployed)}, within {self.target.flip_s:g} s:", *lines]))

    def done(self, deployment: Deployment, what: str) -> None:
        """Says what was deployed, and when everybody has it."""
        flip_s = self.target.flip_s
        told = {
            "changed": True,
            "version": deployment.label or deployment.version,
            "deployment": deployment.number,
            "worst_case_flip_s": flip_s,
        }
        self.say(told, f"{what}: {told['version']} is deployed; every environment has it within {flip_s:g} s")

    def say(self, document: dict[str, Any], line: str) -> None:
        """The outcome, for a program or for a person."""
        if self.json:
            emit_json(document)
        else:
            stdout.print(line, markup=False)


def who(actor: str | None) -> str:
    """The name for the record."""
    return (actor or os.environ.get("USER") or getpass.getuser()).replace(":", "")


def label(deployed: DeployedFlag) -> str:
    """The version in force."""
    deployment = deployed.deployment
    return (deployment.label or deployment.version) if deployment else ""


def in_force(deployed: DeployedFlag) -> tuple[FlagDocument, Deployment]:
    """The document in force and its deployment; raises RolloutRefused if there is none."""
    if deployed.document is None or deployed.deployment is None:
        raise RolloutRefused("nothing is deployed yet; see `flagrank rollout init`")
    return deployed.document, deployed.deployment


def changed(before: FlagDocument, change: Mapping[str, Any]) -> FlagDocument:
    """The document with fields changed; raises ConfigurationError naming the field that would be invalid."""
    try:
        return FlagDocument.model_validate({**before.model_dump(by_alias=True), **change})
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigurationError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error


def differences(before: FlagDocument, after: FlagDocument) -> dict[str, tuple[Any, Any]]:
    """Field by field, what it was and what it is."""
    old, new = (document.model_dump(mode="json", by_alias=True) for document in (before, after))
    return {name: (old[name], new[name]) for name in new if old[name] != new[name]}
