"""Whether an alarm rings; moto has no composite alarms, so botocore's own stub checks both sides of the call."""

import boto3
import pytest
from botocore.stub import Stubber

from flagrank.adapters.control.cloudwatch_alarms import ringing
from flagrank.errors import CloudError

NAMES = ("flagrank-RerankUnhealthy", "flagrank-ServiceFailing")


def asked(names: tuple[str, ...], **states: str) -> str | None:
    """What is said of these alarms where CloudWatch has those states."""
    client = boto3.client("cloudwatch", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    known = [{"AlarmName": f"flagrank-{name}", "StateValue": state} for name, state in states.items()]
    with Stubber(client) as stub:
        expected = {"AlarmNames": [*names], "AlarmTypes": ["CompositeAlarm"]}
        stub.add_response("describe_alarms", {"CompositeAlarms": known}, expected)
        return ringing(client, names)


def test_nothing_rings_while_all_is_well() -> None:
    """Alarms that are OK, or know nothing yet, keep nobody from going up."""
    assert asked(NAMES, RerankUnhealthy="OK", ServiceFailing="INSUFFICIENT_DATA") is None


def test_the_first_alarm_that_rings_is_named() -> None:
    """In the order in which they are asked for, whatever the order of the answer."""
    assert asked(NAMES, ServiceFailing="ALARM", RerankUnhealthy="OK") == NAMES[1]
    assert asked(NAMES, ServiceFailing="ALARM", RerankUnhealthy="ALARM") == NAMES[0]


def test_an_alarm_that_does_not_exist_is_not_silence() -> None:
    """Another stack's name must not look like health."""
    with pytest.raises(CloudError, match="no alarm flagrank-ServiceFailing"):
        asked(NAMES, RerankUnhealthy="OK")
