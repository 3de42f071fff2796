"""CloudWatch alarms: which one fires, and keeping one from acting for a while."""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flagrank.errors import CloudError

LONG_AGO = dt.datetime.fromtimestamp(0, dt.UTC)

logger = logging.getLogger(__name__)


def firing_alarm(cloudwatch: Any, names: Sequence[str]) -> str | None:
    """The first of these composite alarms that is in ALARM, or None; raises CloudError if one does not exist."""
    described = cloudwatch.describe_alarms(AlarmNames=list(names), AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in described}
    missing = [name for name in names if name not in states]
    if missing:
        raise CloudError(f"there is no alarm {' or '.join(missing)} here; is that the stack's name?")
    return next((name for name in names if states[name] == "ALARM"), None)


def firing_since(cloudwatch: Any, name: str) -> dt.datetime | None:
    """When a composite alarm went into ALARM: long ago if CloudWatch does not say, None if it is not in ALARM."""
    described = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
    firing = [alarm for alarm in described["CompositeAlarms"] if alarm["StateValue"] == "ALARM"]
    return firing[0].get("StateTransitionedTimestamp", LONG_AGO) if firing else None


class AlarmActions:
    """What one alarm sets off, which can be disabled and enabled again.

    With `tolerant` a call that fails is logged, and no other is tried: an operator waits for the command, and the guard
    enables the actions at its next event. Otherwise botocore's errors are raised.
    """

    def __init__(self, cloudwatch: Any, name: str, *, tolerant: bool = False) -> None:
        self._cloudwatch = cloudwatch
        self._name = name
        self._tolerant = tolerant
        self._is_silent = False

    def disable(self) -> None:
        """From now on the alarm sets nothing off."""
        self._call("disable_alarm_actions")

    def enable(self) -> None:
        """From now on the alarm sets its actions off again."""
        self._call("enable_alarm_actions")

    def _call(self, operation: str) -> None:
        if self._is_silent:
            return
        try:
            getattr(self._cloudwatch, operation)(AlarmNames=[self._name])
        except (BotoCoreError, ClientError) as error:
            if not self._tolerant:
                raise
            self._is_silent = True
            logger.warning("%s of %s failed: %s", operation, self._name, error)
