"""Whether an alarm is on now, for the guard's look at the clock."""

from typing import Any


def is_on(cloudwatch: Any, name: str) -> bool:
    """Whether a composite alarm is in ALARM; an alarm that does not exist is not."""
    described = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
    return any(alarm["StateValue"] == "ALARM" for alarm in described["CompositeAlarms"])
