"""What every command that changes the flag shares: its options, a plan, and what it prints."""

import getpass
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from flagrank.cli.output import JsonFlag, emit_json, stderr, stdout
from flagrank.cli.ramp_lease import refuse_during_a_ramp
from flagrank.cli.target import Target
from flagrank.delivery.change_record import GUARD, ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment, in_force
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument, changed
from flagrank.flags.exposure import exposure_in_words, lowers_exposure, treated_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """How somebody asks for a change; each field is an option of every such command (see `with_option_groups`)."""

    actor: Annotated[
        str | None, typer.Option(help="Who changes the flag, for the record; the user's name if none is given.")
    ] = None
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Change the flag although somebody's ramp is at work; the ramp then ends."),
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False
    json: JsonFlag = False
    target: Target

    def record(self, change: str, default_reason: str = "none given") -> ChangeRecord:
        """The record of a change; raises ConfigurationError if the actor is nobody, or the guard."""
        return ChangeRecord(actor_name(self.actor), change, self.reason or default_reason)

    def apply(self, fields: Mapping[str, Any], change: str) -> None:
        """Changes fields of the document in force. If that lowers exposure, it stops what else is in flight.

        Raises RolloutRefused while a ramp is at work, unless it is to be taken over.
        """
        if not self.take_over:
            refuse_during_a_ramp(self.target.leases, self.tell)
        control = self.target.control()
        deployed = control.deployed()
        before, _ = in_force(deployed)
        after = changed(before, fields)
        if after == before:
            self.show_unchanged(deployed, change)
        elif self.dry_run:
            self.show_plan(deployed, after, change, urgent=lowers_exposure(before, after))
        else:
            self.show_done(control.deploy(after, self.record(change), since=deployed), change, before, after)

    def show_plan(self, deployed: DeployedFlag, after: FlagDocument, change: str, *, urgent: bool) -> None:
        """Says what would change; raises RolloutRefused if the change would be refused."""
        busy, propagation_s = deployed.in_flight, self.target.propagation_s
        if busy and not urgent:
            raise RolloutRefused(busy.progress(time.time()))
        differing = differences(deployed.document, after)
        effect = exposure_change(deployed.document, after)
        lines = [f"{change}, {effect}, would change {version_name(deployed)}, within {propagation_s:g} s:"]
        lines += difference_lines(differing)
        if busy:
            fate = "waited for" if deployed.must_end else "stopped"
            lines.append(f"deployment {busy.number} would be {fate}: {busy.record.render()}")
        lines += filter(None, [still_in_shadow(after).removeprefix("\n")])
        plan = {
            "changed": False,
            "version": version_name(deployed),
            "plan": differing,
            "stops": busy.number if busy and not deployed.must_end else None,
            "worst_case_flip_s": propagation_s,
        }
        self.show(plan, "\n".join(lines))

    def show_unchanged(self, deployed: DeployedFlag, change: str) -> None:
        """Says that there is nothing to do."""
        self.show({"changed": False, "version": version_name(deployed)}, f"already so: {change}")

    def show_done(self, made: Deployment, change: str, before: FlagDocument | None, after: FlagDocument) -> None:
        """Says what was deployed, and when every environment has it."""
        propagation_s = self.target.propagation_s
        document = {
            "changed": True,
            "version": made.name,
            "deployment": made.number,
            "state": made.state,
            "before": treated_percent(before) if before else None,
            "after": treated_percent(after),
            "mode": after.mode,
            "worst_case_flip_s": propagation_s,
        }
        state = f"is deployed; every environment has it within {propagation_s:g} s"
        if made.is_arriving:
            state = f"was started and is not confirmed yet ({made.state}); see `flagrank rollout status`"
        elif made.in_flight:
            state += f", and AppConfig's monitors watch it for up to {made.remaining_s(time.time()):.0f} s"
        self.show(document, f"{change}, {exposure_change(before, after)}: {made.name} {state}{still_in_shadow(after)}")

    def tell(self, line: str) -> None:
        """Prints what is worth knowing beside the outcome."""
        stderr.print(line, markup=False)

    def show(self, document: dict[str, Any], line: str) -> None:
        """Prints the outcome, for a program or for a person."""
        if self.json:
            emit_json(document)
        else:
            # a terminal gets whole words at its edge, and a file whole lines
            stdout.print(line, markup=False, soft_wrap=not stdout.is_terminal)


def actor_name(actor: str | None) -> str:
    """The name for the record, by default the user's, without colons; raises ConfigurationError for the guard's."""
    name = " ".join((actor or _user()).replace(":", "").split())
    if not name or name.casefold() == GUARD:
        raise ConfigurationError(f"--actor {name or repr(actor)}: say who you are, for the record")
    return name


def version_name(deployed: DeployedFlag) -> str:
    """The version in force, empty if there is none."""
    return deployed.deployment.name if deployed.deployment else ""


def differences(before: FlagDocument | None, after: FlagDocument) -> dict[str, tuple[Any, Any]]:
    """Field by field, the value before and after; every field if the document before cannot be read."""
    new = after.model_dump(mode="json", by_alias=True)
    old = before.model_dump(mode="json", by_alias=True) if before else dict.fromkeys(new)
    return {name: (old[name], new[name]) for name in new if old[name] != new[name]}


def difference_lines(differing: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """The differences for people, one a line."""
    return [f"{name}: {old} -> {new}" for name, (old, new) in differing.items()]


def exposure_change(before: FlagDocument | None, after: FlagDocument) -> str:
    """Who is treated before and after, in words."""
    was_off = before is not None and not before.enabled
    if was_off and not after.enabled:
        return f"still off, {after.percent:g} % once it is on"
    change = f"{exposure_in_words(before)} -> {exposure_in_words(after)}"
    return f"{change} of the users at once" if was_off and treated_percent(after) > 0 else change


def still_in_shadow(document: FlagDocument) -> str:
    """A line that says so if the users whom the document treats are served the baseline; nothing otherwise."""
    if document.mode != "shadow":
        return ""
    way = f"`flagrank rollout ramp {document.percent or 100:g} --no-shadow`"
    return f"\nthe mode is still shadow: the LLM is asked and everyone is served the baseline; {way} serves its order"


def _user() -> str:
    try:
        return os.environ.get("USER") or getpass.getuser()
    except OSError:  # a container's user may have no name
        return "unknown"
