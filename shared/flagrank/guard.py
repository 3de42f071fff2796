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
from flagrank.rollout import FlagDocument

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

    @property
    def key(self) -> str:
        """What two deliveries of one change have in common, and no other change has."""
        return f"{self.name} in {self.state.value} since {self.state.timestamp.isoformat()}"


def still_on(name: str, now: dt.datetime) -> Alarm:
    """An alarm that stays on, as if it had gone off when its oldest data were new.

    CloudWatch tells changes of state alone: without this, a lower share that fails as well would stay for ever.
    """
    since = now - dt.timedelta(seconds=SETTLED_S)
    return Alarm.model_validate({"alarmName": name, "state": {"value": "ALARM", "timestamp": since}})


def read_alarm(event: Mapping[str, Any]) -> Alarm:
    """The alarm in an EventBridge event; raises UnsupportedEvent for any other event."""
    try:
        return Alarm.model_validate(event.get("detail"))
    except ValidationError as error:
        raise UnsupportedEvent(f"not an alarm's change of state: {error.errors()[0]['msg']}") from error


@dataclass(frozen=True, slots=True)
class Step:
    """One deployment of the flag; `ended_at` is None where it is in flight or AppConfig does not say."""

    number: int
    document: FlagDocument
    started_at: dt.datetime
    ended_at: dt.datetime | None
    in_flight: bool
    description: str


@dataclass(frozen=True, slots=True)
class Steps:
    """The flag's deployments that stand, newest first, and those after them that were undone.

    The two numbers tell whether anybody changed the flag since.
    """

    newest_first: Sequence[Step]
    undone: Sequence[Step]
    latest_deployment: int
    latest_version: int


@dataclass(frozen=True, slots=True)
class Lowering:
    """A document with less exposure, the deployment to stop first (None: none is in flight), and the record of it."""

    document: FlagDocument
    stop: int | None
    description: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an alarm: shares before and after, in percent of the users."""

    lowered: bool
    before: float
    after: float
    why: str


class GuardedFlag(Protocol):
    """The flag's control plane, as far as the guard needs it."""

    def steps(self) -> Steps:
        """The deployments in force, and before."""

    def lower(self, lowering: Lowering, since: Steps) -> None:
        """Puts the document into force; raises RolloutRefused, with nothing in force, if the flag changed `since`."""


def respond(alarm: Alarm, flag: GuardedFlag, good_after_s: float = GOOD_AFTER_S) -> Outcome:
    """Lowers exposure if the alarm asks for it; raises RolloutRefused if others keep changing the flag meanwhile."""
    refused = RolloutRefused("never tried")
    for _ in range(ATTEMPTS):
        steps = flag.steps()
        before = share(steps.newest_first[0].document) if steps.newest_first else 0.0
        planned = plan(alarm, steps, good_after_s)
        if isinstance(planned, str):
            return Outcome(False, before, before, planned)
        try:
            flag.lower(planned, steps)
        except RolloutRefused as error:
            refused = error
        else:
            return Outcome(True, before, share(planned.document), planned.description)
    raise refused


def plan(alarm: Alarm, steps: Steps, good_after_s: float = GOOD_AFTER_S) -> Lowering | str:
    """How to lower exposure, or why not to; raises RolloutRefused while a deployment in flight lowers it already."""
    if alarm.state.value != "ALARM":
        return f"{alarm.key}: nothing to do"
    if not steps.newest_first or not steps.newest_first[0].document.enabled:
        return "the flag is off"
    current, *earlier = steps.newest_first
    if any(alarm.key in step.description for step in steps.newest_first):
        return f"{alarm.key}: handled before"
    if alarm.state.timestamp < current.started_at:
        return f"{alarm.key}: older than deployment {current.number} ({current.description})"
    for undone in steps.undone:
        if _was_about(alarm, undone) and exposure(undone.document) > exposure(current.document):
            return f"{alarm.key}: answered when deployment {undone.number} was undone"
    if current.in_flight and earlier and exposure(earlier[0].document) > exposure(current.document):
        # stopping it would bring the larger share back
        raise RolloutRefused(f"deployment {current.number} is lowering exposure already; asking again later")
    good = last_good(steps.newest_first, good_after_s)
    change = {"enabled": False} if good is None else {"percent": good.percent}
    document = current.document.model_copy(update=change)
    record = f"{ACTOR}: {alarm.key}: {share(current.document):g} % -> {share(document):g} %"
    return Lowering(document, current.number if current.in_flight else None, record)


def last_good(newest_first: Sequence[Step], good_after_s: float) -> FlagDocument | None:
    """The nearest lower step of the climb to the step in force that had stood for `good_after_s`; None means off.

    A climb is the same treatment at rising shares: another model, alpha or budget says nothing about this one, and
    below a share that was left downwards nothing is known to be good.
    """
    for later, step in itertools.pairwise(newest_first):
        climbed = exposure(step.document) <= exposure(later.document)
        if not climbed or _treatment(step.document) != _treatment(later.document):
            return None
        stood_s = (later.started_at - step.started_at).total_seconds()
        lower = exposure(step.document) < exposure(newest_first[0].document)
        if lower and step.document.enabled and not step.in_flight and stood_s >= good_after_s:
            return step.document
    return None


def exposure(document: FlagDocument) -> int:
    """Orders documents by who is treated: 0 is off, 1 the allow list alone, then a step for each bucket."""
    return 1 + document.threshold if document.enabled else 0


def share(document: FlagDocument) -> float:
    """The share of users that is treated, in percent."""
    return document.percent if document.enabled else 0.0


def _was_about(alarm: Alarm, step: Step) -> bool:
    at = alarm.state.timestamp
    return step.started_at <= at and (step.ended_at is None or at <= step.ended_at)


def _treatment(document: FlagDocument) -> FlagDocument:
    return document.model_copy(update={"enabled": True, "percent": 0.0})
