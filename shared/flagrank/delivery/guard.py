"""What an alarm does to the flag: exposure goes down, never up.

Pure but for the control plane. The deployments are the memory: the guard records what it did in them, so that an event
which comes twice, late or together with another one finds its work done (infra/decisions/0052).
"""

import datetime as dt
import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flagrank.delivery.alarm import Alarm
from flagrank.delivery.change_record import GUARD, ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment, RolloutControl, readable
from flagrank.delivery.rollback import switched_off
from flagrank.errors import RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure, exposure_in_words, treated_percent

GOOD_AFTER_S = 600.0
REMEMBERED = 10
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ExposureReduction:
    """A document with less exposure, and the record of why."""

    document: FlagDocument
    record: ChangeRecord


@dataclass(frozen=True, slots=True)
class AlarmResponse:
    """What the guard did about an alarm: the percentage of treated users before and after, and why.

    A document that cannot be read counts as 100 percent.
    """

    lowered: bool
    before: float
    after: float
    why: str


@dataclass(frozen=True, slots=True)
class RecentDeployments:
    """The deployments that the guard remembers, newest first: `kept` were not undone, and `undone` were.

    `document` reads a version, and gives None if it cannot be read.
    """

    kept: Sequence[Deployment]
    undone: Sequence[Deployment]
    document: Callable[[str], FlagDocument | None]

    def document_of(self, deployment: Deployment) -> FlagDocument | None:
        """The document that it deployed, None if it cannot be read."""
        return self.document(deployment.version)

    def exposure_at(self, moment: dt.datetime) -> int:
        """The exposure at a moment: 0 if nothing was deployed by then, or nothing that can be read."""
        deployed = [entry for entry in self.kept if entry.started_at <= moment]
        deployed += [entry for entry in self.undone if entry.ended_at and entry.started_at <= moment <= entry.ended_at]
        newest = max(deployed, key=lambda entry: entry.number, default=None)
        document = self.document_of(newest) if newest else None
        return exposure(document) if document else 0

    def last_good(self, good_after_s: float, below: int) -> FlagDocument | None:
        """The last document before the one in force that is known to be good; None if there is no such document.

        It exposes less than `below`, and was in force for `good_after_s`. From it to the one in force the treatment was
        the same and percentages rose: another model, alpha or budget says nothing about what is in force now, and
        nothing below a percentage that was lowered is known to be good.
        """
        for later, earlier in itertools.pairwise(self.kept):
            after, before = self.document_of(later), self.document_of(earlier)
            if before is None or after is None or _treatment(before) != _treatment(after):
                return None
            if exposure(before) > exposure(after):
                return None
            in_force_s = later.started_at_s - earlier.started_at_s
            if 0 < exposure(before) < below and not earlier.in_flight and in_force_s >= good_after_s:
                return before
        return None


def respond(alarm: Alarm, control: RolloutControl, good_after_s: float = GOOD_AFTER_S) -> AlarmResponse:
    """Lowers exposure if the alarm requires it; raises RolloutRefused if others keep changing the flag meanwhile."""
    refused = RolloutRefused("never tried")
    for _ in range(ATTEMPTS):
        deployed = control.deployed()
        before = treated_percent(deployed.document) if deployed.deployment else 0.0
        planned = plan(alarm, control, deployed, good_after_s)
        if isinstance(planned, str):
            return AlarmResponse(False, before, before, planned)
        try:
            control.deploy(planned.document, planned.record, urgent=True, since=deployed)
        except RolloutRefused as error:
            refused = error
        else:
            return AlarmResponse(True, before, treated_percent(planned.document), planned.record.render())
    raise refused


def plan(
    alarm: Alarm, control: RolloutControl, deployed: DeployedFlag, good_after_s: float = GOOD_AFTER_S
) -> ExposureReduction | str:
    """How to lower exposure, or why not to; raises RolloutRefused while a deployment in flight lowers it already."""
    if alarm.state.value != "ALARM":
        return f"{alarm.key}: nothing to do"
    recent = recent_deployments(control, deployed.latest_number)
    current = next(iter(recent.kept), None)
    document = recent.document_of(current) if current else None
    if current is None or exposure(document) == 0:
        return "the flag is off"
    # an alarm that was looked up fires now, whatever was done about it before
    if not alarm.still and any(entry.record.alarm == alarm.key for entry in recent.kept):
        return f"{alarm.key}: handled before"
    if document is None:
        off = ChangeRecord(GUARD, "off", deployed.unreadable or "", alarm=alarm.key)
        return ExposureReduction(switched_off(control, deployed), off)
    alarmed = recent.exposure_at(alarm.state.timestamp)
    if alarm.state.timestamp < current.started_at and exposure(document) <= alarmed:
        return f"{alarm.key}: older than deployment {current.number} ({current.record.render()})"
    answer = _answering_rollback(alarm, recent, current)
    if answer is not None:
        return f"{alarm.key}: answered when deployment {answer.number} was undone"
    if deployed.is_lowering:
        # stopping it would bring the larger exposure back
        raise RolloutRefused(f"deployment {current.number} is lowering exposure already; the alarm is sent again later")
    good = recent.last_good(good_after_s, below=min(alarmed, exposure(document)))
    lower = document.model_copy(update={"enabled": False} if good is None else {"percent": good.percent})
    change = f"{exposure_in_words(document)} -> {exposure_in_words(lower)}"
    return ExposureReduction(lower, ChangeRecord(GUARD, change, alarm=alarm.key))


def recent_deployments(control: RolloutControl, latest_number: int) -> RecentDeployments:
    """The deployments up to a number: the newest ten that were not undone, and those between them that were."""
    kept: list[Deployment] = []
    undone: list[Deployment] = []
    for entry in control.deployments():
        if entry.number <= latest_number:
            (undone if entry.is_undone else kept).append(entry)
        if len(kept) == REMEMBERED:
            break
    return RecentDeployments(kept, undone, functools.cache(functools.partial(readable, control.document)))


def _answering_rollback(alarm: Alarm, recent: RecentDeployments, current: Deployment) -> Deployment | None:
    moment, left = alarm.state.timestamp, exposure(recent.document_of(current))
    for undone in recent.undone:
        document = recent.document_of(undone)
        has_lowered = undone.number > current.number and document is not None and exposure(document) > left
        is_about_it = undone.started_at <= moment and (undone.ended_at is None or moment <= undone.ended_at)
        if has_lowered and is_about_it:
            return undone
    return None


def _treatment(document: FlagDocument) -> FlagDocument:
    return document.model_copy(update={"enabled": True, "percent": 0.0})
