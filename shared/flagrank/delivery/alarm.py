"""The alarm that the guard answers: EventBridge sends it when its state changes, and a schedule has it looked up."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from flagrank.errors import UnsupportedEvent

# the longest time that an alarm of the template evaluates: three periods of five minutes
SETTLED_S = 900.0


class _State(BaseModel):
    value: Literal["ALARM", "OK", "INSUFFICIENT_DATA"]
    timestamp: AwareDatetime


class Alarm(BaseModel):
    """An alarm's change of state, as EventBridge sends it under `detail`; `still` marks one that was looked up."""

    name: str = Field(alias="alarmName", min_length=1)
    state: _State
    still: bool = False

    @property
    def key(self) -> str:
        """Equal for two deliveries of one change of state, and different for two changes."""
        still = " still" if self.still else ""
        return f"{self.name}{still} in {self.state.value} since {self.state.timestamp.isoformat()}"


def still_firing(name: str, since: dt.datetime, now: dt.datetime) -> Alarm:
    """An alarm that was looked up: it fires now, and has done so `since` a moment.

    It is dated at that moment, or when the oldest data that it evaluates were new, if that is later. CloudWatch sends
    changes of state only: without looking it up, a lowered exposure that fails as well would stay as it is.
    """
    since = max(since, now - dt.timedelta(seconds=SETTLED_S))
    return Alarm.model_validate({"alarmName": name, "state": {"value": "ALARM", "timestamp": since}, "still": True})


def read_alarm(event: Mapping[str, Any]) -> Alarm:
    """The alarm in an EventBridge event; raises UnsupportedEvent for any other event."""
    try:
        return Alarm.model_validate(event.get("detail"))
    except ValidationError as error:
        raise UnsupportedEvent(f"not an alarm's change of state: {error.errors()[0]['msg']}") from error
