"""Metric lines of a function's output, on their way into CloudWatch."""

import json
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from flagrank.local.emf import VALUES_PER_DATUM, EmfForwarder


class CloudWatch:
    """Keeps what is put."""

    def __init__(self) -> None:
        self.data: list[dict[str, Any]] = []

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        self.data += [{"Namespace": Namespace, **datum} for datum in MetricData]


class NoCloudWatch:
    """Has been taken away."""

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
    """Equal values travel once with their count, and each arm is a series of its own."""
    data = put(line("control", 2.0), line("treatment", [3.0, 4.0]), line("control", 2.0))
    told = {datum["Dimensions"][0]["Value"]: dict(zip(datum["Values"], datum["Counts"], strict=True)) for datum in data}
    assert told == {"control": {2.0: 2.0}, "treatment": {3.0: 1.0, 4.0: 1.0}}
    assert {(datum["Namespace"], datum["MetricName"], datum["Unit"]) for datum in data} == {
        ("Flagrank", "Latency", "Milliseconds")
    }


def test_no_datum_holds_more_values_than_cloudwatch_takes() -> None:
    """Many distinct values are spread over several data, and none is lost."""
    data = put(*(line("control", float(value)) for value in range(2 * VALUES_PER_DATUM + 1)))
    assert [len(datum["Values"]) for datum in data] == [VALUES_PER_DATUM, VALUES_PER_DATUM, 1]


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
    """Whatever a function prints, the one who reads it goes on reading."""
    forwarder = EmfForwarder(CloudWatch())
    assert not forwarder.take(text)
    forwarder.stop()


def test_a_cloudwatch_that_is_gone_costs_the_metrics_alone() -> None:
    """Nothing is raised where the lines are read, nor at the end."""
    forwarder = EmfForwarder(NoCloudWatch())
    assert forwarder.take(line("control", 1.0))
    forwarder.stop()
