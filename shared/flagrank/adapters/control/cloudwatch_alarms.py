"""CloudWatch alarms: whether one is on, and keeping one from acting for a while."""

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flagrank.errors import CloudError

LONG_AGO = dt.datetime.fromtimestamp(0, dt.UTC)

logger = logging.getLogger(__name__)


def ringing(cloudwatch: Any, names: Sequence[str]) -> str | None:
    """The first composite alarm that is in ALARM, None where none is; raises CloudError if one does not exist."""
    described = cloudwatch.describe_alarms(AlarmNames=list(names), AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in described}
    missing = [name for name in names if name not in states]
    if missing:
        raise CloudError(f"there is no alarm {' or '.join(missing)} here; is that the stack's name?")
    return next((name for name in names if states[name] == "ALARM"), None)


def on_since(cloudwatch: Any, name: str) -> dt.datetime | None:
    """When a composite alarm went into ALARM, long ago if CloudWatch does not say; None where it is not in it."""
    described = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
    on = [alarm for alarm in described["CompositeAlarms"] if alarm["StateValue"] == "ALARM"]
    return on[0].get("StateTransitionedTimestamp", LONG_AGO) if on else None


@dataclass(frozen=True, slots=True)
class AlarmActions:
    """What one alarm sets off."""

    cloudwatch: Any
    name: str

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Nothing meanwhile, as far as CloudWatch lets us: where it does not, the caller goes on all the same."""
        self._say("disable_alarm_actions")
        try:
            yield
        finally:
            # where this fails the guard does it at its next look, every few minutes
            self._say("enable_alarm_actions")

    def _say(self, operation: str) -> None:
        try:
            getattr(self.cloudwatch, operation)(AlarmNames=[self.name])
        except (BotoCoreError, ClientError) as error:
            logger.warning("%s of %s failed: %s", operation, self.name, error)
