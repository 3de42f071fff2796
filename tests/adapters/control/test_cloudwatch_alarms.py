"""Which alarm fires; moto has no composite alarms, so botocore's own stub checks both sides of the call."""

import contextlib

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from flagrank.adapters.control.cloudwatch_alarms import AlarmActions, firing_alarm
from flagrank.errors import CloudError

NAMES = ("flagrank-RerankUnhealthy", "flagrank-ServiceFailing")


def asked(names: tuple[str, ...], **states: str) -> str | None:
    """The answer about these alarms if CloudWatch has those states."""
    client = boto3.client("cloudwatch", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    known = [{"AlarmName": f"flagrank-{name}", "StateValue": state} for name, state in states.items()]
    with Stubber(client) as stub:
        expected = {"AlarmNames": [*names], "AlarmTypes": ["CompositeAlarm"]}
        stub.add_response("describe_alarms", {"CompositeAlarms": known}, expected)
        return firing_alarm(client, names)


def test_no_alarm_fires_while_all_is_well() -> None:
    """Alarms that are OK, or have no data yet, keep nobody from going up."""
    assert asked(NAMES, RerankUnhealthy="OK", ServiceFailing="INSUFFICIENT_DATA") is None


def test_the_first_alarm_that_fires_is_named() -> None:
    """In the order of the question, whatever the order of the answer."""
    assert asked(NAMES, ServiceFailing="ALARM", RerankUnhealthy="OK") == NAMES[1]
    assert asked(NAMES, ServiceFailing="ALARM", RerankUnhealthy="ALARM") == NAMES[0]


def test_an_alarm_that_does_not_exist_is_an_error() -> None:
    """The name of another stack must not look like health."""
    with pytest.raises(CloudError, match="no alarm flagrank-ServiceFailing"):
        asked(NAMES, RerankUnhealthy="OK")


@pytest.mark.parametrize("tolerant", [False, True])
def test_a_cloudwatch_that_refuses_stops_whoever_is_not_tolerant(tolerant: bool) -> None:
    """Whoever is goes on, and does not ask again."""
    client = boto3.client("cloudwatch", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    actions = AlarmActions(client, "flagrank-FlagMonitor", tolerant=tolerant)
    with Stubber(client) as stub:
        stub.add_client_error("disable_alarm_actions", "AccessDenied")
        with contextlib.nullcontext() if tolerant else pytest.raises(ClientError, match="AccessDenied"):
            actions.disable()
        if tolerant:
            actions.enable()
        stub.assert_no_pending_responses()
