"""CloudWatch alarms: whether one is on, and keeping one from acting for a while."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

logger = logging.getLogger(__name__)


def is_on(cloudwatch: Any, name: str) -> bool:
    """Whether a composite alarm is in ALARM; an alarm that does not exist is not."""
    described = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
    return any(alarm["StateValue"] == "ALARM" for alarm in described["CompositeAlarms"])


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
