"""What an alarm does to the flag: exposure goes down, never up.

Pure but for the flag behind `GuardedFlag`. The deployments are the memory: what the guard did is written into them, so
an event that comes twice, late or beside another finds its work done (infra/decisions/0052).
"""

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from flagrank.errors import RolloutRefused, UnsupportedEvent
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure, treated_percent

ACTOR = "guard"
GOOD_AFTER_S = 600.0
# the longest that an alarm of the template looks back: three periods of five minutes
SETTLED_S = 900.0
ATTEMPTS = 5


class _State(BaseModel):
    value: Literal["ALARM", "OK", "INSUFFICIENT_DATA"]
    timestamp: AwareDatetime


class Alarm(BaseModel):
    """An alarm's change of state, as EventBridge tells it under `detail`."""

    name: str = Field(alias="alarmName", min_length=1)
    state: _State
    still: bool = False

    @property
    def key(self) -> str:
        """What two deliveries of one change have in common, and no other change has."""
        still = " still" if self.still else ""
        return f"{self.name}{still} in {self.state.value} since {self.state.timestamp.isoformat()}"


def still_on(name: str, since: dt.datetime, now: dt.datetime) -> Alarm:
    """An alarm that is still on, as somebody who looked saw it; went off `since`, or when its oldest data were new.

    CloudWatch tells changes of state alone: without this, a lower share that fails as well would stay for ever.
    """
    since = max(since, now - dt.timedelta(seconds=SETTLED_S))
    return Alarm.model_validate({"alarmName": name, "state": {"value": "ALARM", "timestamp": since}, "still": True})


def read_alarm(event: Mapping[str, Any]) -> Alarm:
    """The alarm in an EventBridge event; raises UnsupportedEvent for any other event."""
    try:
        return Alarm.model_validate(event.get("detail"))
    except ValidationError as error:
        raise UnsupportedEvent(f"not an alarm's change of state: {error.errors()[0]['msg']}") from error


@dataclass(frozen=True, slots=True)
class Step:
    """One deployment of the flag; `ended_at` is None where it is in flight or AppConfig does not say.

    `document` is None where it does not fit this release's model, and `problem` says why.
    """

    number: int
    document: FlagDocument | None
    started_at: dt.datetime
    ended_at: dt.datetime | None
    in_flight: bool
    description: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """The flag's deployments that stand, and those that were undone, each newest first.

    The two numbers tell whether anybody changed the flag since.
    """

    newest_first: Sequence[Step]
    undone: Sequence[Step]
    latest_deployment: int
    latest_version: int


@dataclass(frozen=True, slots=True)
class ExposureReduction:
    """A document with less exposure, the deployment to stop first (None: none is in flight), and the record of it."""

    document: FlagDocument
    stop: int | None
    description: str


@dataclass(frozen=True, slots=True)
class AlarmResponse:
    """What became of an alarm: shares before and after, in percent of the users; 100 where nobody can tell."""

    lowered: bool
    before: float
    after: float
    why: str


class GuardedFlag(Protocol):
    """The flag's control plane, as far as the guard needs it."""

    def steps(self) -> Steps:
        """The deployments in force, and before."""

    def lower(self, lowering: ExposureReduction, since: Steps) -> None:
        """Puts the document into force; raises RolloutRefused, with nothing in force, if the flag changed `since`."""


def respond(alarm: Alarm, flag: GuardedFlag, good_after_s: float = GOOD_AFTER_S) -> AlarmResponse:
    """Lowers exposure if the alarm asks for it; raises RolloutRefused if others keep changing the flag meanwhile."""
    refused = RolloutRefused("never tried")
    for _ in range(ATTEMPTS):
        steps = flag.steps()
        before = treated_percent(steps.newest_first[0].document) if steps.newest_first else 0.0
        planned = plan(alarm, steps, good_after_s)
        if isinstance(planned, str):
            return AlarmResponse(False, before, before, planned)
        try:
            flag.lower(planned, steps)
        except RolloutRefused as error:
            refused = error
        else:
            return AlarmResponse(True, before, treated_percent(planned.document), planned.description)
    raise refused


def plan(alarm: Alarm, steps: Steps, good_after_s: float = GOOD_AFTER_S) -> ExposureReduction | str:
    """How to lower exposure, or why not to; raises RolloutRefused while a deployment in flight lowers it already."""
    if alarm.state.value != "ALARM":
        return f"{alarm.key}: nothing to do"
    if not steps.newest_first or exposure(steps.newest_first[0].document) == 0:
        return "the flag is off"
    current = steps.newest_first[0]
    # whoever looks sees the alarm as it is now, so that what was raised again since is lowered again
    if not alarm.still and any(alarm.key in step.description for step in steps.newest_first):
        return f"{alarm.key}: handled before"
    if current.document is None:
        return _off(alarm, steps)
    alarmed = _exposed(steps, alarm.state.timestamp)
    if alarm.state.timestamp < current.started_at and exposure(current.document) <= alarmed:
        return f"{alarm.key}: older than deployment {current.number} ({current.description})"
    for undone in steps.undone:
        lowered = undone.number > current.number and exposure(undone.document) > exposure(current.document)
        if lowered and undone.document is not None and _was_about(alarm, undone):
            return f"{alarm.key}: answered when deployment {undone.number} was undone"
    if is_lowering(steps):
        # stopping it would bring the larger share back
        raise RolloutRefused(f"deployment {current.number} is lowering exposure already; asking again later")
    good = last_good(steps.newest_first, good_after_s, below=min(alarmed, exposure(current.document)))
    change = {"enabled": False} if good is None else {"percent": good.percent}
    document = current.document.model_copy(update=change)
    record = f"{ACTOR}: {alarm.key}: {treated_percent(current.document):g} % -> {treated_percent(document):g} %"
    return ExposureReduction(document, current.number if current.in_flight else None, record)


def is_lowering(steps: Steps) -> bool:
    """Whether what is in flight treats fewer than what it replaces: undone, it would bring the larger share back."""
    if not steps.newest_first or not steps.newest_first[0].in_flight:
        return False
    current, *earlier = steps.newest_first
    before = earlier[0].document if earlier else None
    return exposure(current.document) < (1 if before is None else exposure(before))


def last_good(newest_first: Sequence[Step], good_after_s: float, below: int) -> FlagDocument | None:
    """The nearest step of the climb to the step in force that exposes less than `below` and had stood; None means off.

    It had stood for `good_after_s`. A climb is the same treatment at rising shares: another model, alpha or budget says
    nothing about this one, and below a share that was left downwards nothing is known to be good.
    """
    for later, step in itertools.pairwise(newest_first):
        if step.document is None or later.document is None or _treatment(step.document) != _treatment(later.document):
            return None
        if exposure(step.document) > exposure(later.document):
            return None
        stood_s = (later.started_at - step.started_at).total_seconds()
        if 0 < exposure(step.document) < below and not step.in_flight and stood_s >= good_after_s:
            return step.document
    return None


def _off(alarm: Alarm, steps: Steps) -> ExposureReduction:
    current = steps.newest_first[0]
    readable = (step.document for step in steps.newest_first if step.document is not None)
    document = next(readable, FlagDocument()).model_copy(update={"enabled": False})
    record = f"{ACTOR}: {alarm.key}: off, as deployment {current.number} cannot be read: {current.problem}"
    return ExposureReduction(document, current.number if current.in_flight else None, record)


def _exposed(steps: Steps, at: dt.datetime) -> int:
    """The exposure at a moment: 0 where nothing was deployed yet, or nothing that can be read."""
    there = [step for step in steps.newest_first if step.started_at <= at]
    there += [step for step in steps.undone if step.ended_at is not None and step.started_at <= at <= step.ended_at]
    newest = max(there, key=lambda step: step.number, default=None)
    return exposure(newest.document) if newest is not None and newest.document is not None else 0


def _was_about(alarm: Alarm, undone: Step) -> bool:
    at = alarm.state.timestamp
    return undone.started_at <= at and (undone.ended_at is None or at <= undone.ended_at)


def _treatment(document: FlagDocument) -> FlagDocument:
    return document.model_copy(update={"enabled": True, "percent": 0.0})
