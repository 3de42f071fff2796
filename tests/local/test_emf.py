"""The metric lines of a function's output, on their way into CloudWatch."""

import json
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from flagrank.local.emf import DATA_PER_CALL, EmfForwarder


class CloudWatch:
    """Keeps what is put."""

    def __init__(self) -> None:
        self.data: list[dict[str, Any]] = []

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        self.data += [{"Namespace": Namespace, **datum} for datum in MetricData]


class NoCloudWatch:
    """Is not reachable."""

    def put_metric_data(self, **_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def line(arm: str, latency: float | list[float]) -> bytes:
    metrics = [{"Name": "Latency", "Unit": "Milliseconds"}]
    directive = {"Namespace": "Flagrank", "Dimensions": [["service", "arm"]], "Metrics": metrics}
    document = {"_aws": {"CloudWatchMetrics": [directive]}, "service": "recommend", "arm": arm, "Latency": latency}
    return json.dumps(document).encode() + b"\n"


def put(*lines: bytes) -> list[dict[str, Any]]:
    cloudwatch = CloudWatch()
    forwarder = EmfForwarder(cloudwatch)
    assert all(forwarder.take(one) for one in lines)
    forwarder.stop()
    return cloudwatch.data


def test_values_are_collected_by_metric_and_dimensions() -> None:
    """Each arm is one datum with count, sum and extremes, however many lines there were."""
    data = put(line("control", 2.0), line("treatment", [3.0, 4.0]), line("control", 2.5))
    statistics = {datum["Dimensions"][0]["Value"]: datum["StatisticValues"] for datum in data}
    assert statistics == {
        "control": {"SampleCount": 2, "Sum": 4.5, "Minimum": 2.0, "Maximum": 2.5},
        "treatment": {"SampleCount": 2, "Sum": 7.0, "Minimum": 3.0, "Maximum": 4.0},
    }
    assert {(datum["Namespace"], datum["MetricName"], datum["Unit"]) for datum in data} == {
        ("Flagrank", "Latency", "Milliseconds")
    }


def test_no_call_holds_more_data_than_allowed() -> None:
    """Many series are spread over several calls, and none is lost."""
    data = put(*(line(f"arm-{number}", 1.0) for number in range(2 * DATA_PER_CALL + 1)))
    assert len({datum["Dimensions"][0]["Value"] for datum in data}) == 2 * DATA_PER_CALL + 1


@pytest.mark.parametrize(
    "text",
    [
        b"plain text\n",
        b'{"level": "INFO"}\n',
        b'{"_aws": broken\n',
        b'{"_aws": 1}\n',
        b'{"_aws": {"CloudWatchMetrics": [{"Dimensions": [["arm"]]}]}}\n',
        line("control", 1.0).replace(b"1.0", b'"fast"'),
    ],
)
def test_a_line_that_is_no_metric_stays_a_log_line(text: bytes) -> None:
    """The forwarder goes on reading, whatever a function prints."""
    forwarder = EmfForwarder(CloudWatch())
    assert not forwarder.take(text)
    forwarder.stop()


def test_an_unreachable_cloudwatch_costs_only_the_metrics() -> None:
    """Neither taking a line nor stopping raises anything."""
    forwarder = EmfForwarder(NoCloudWatch())
    assert forwarder.take(line("control", 1.0))
    forwarder.stop()
