"""Metrics as CloudWatch reads them."""

import logging
from typing import Any

import orjson
import pytest
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.metric_names import NAMESPACE, SERVICE, MetricName, unit_of


def test_a_request_is_one_line_in_the_embedded_metric_format(capsys: pytest.CaptureFixture[str]) -> None:
    """Namespace, the two dimensions, each metric with its unit and its value."""
    EmfMetrics().emit("treatment", dict.fromkeys(MetricName, 1.0), {})
    (line,) = capsys.readouterr().out.splitlines()
    blob = orjson.loads(line)
    (directive,) = blob["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE
    assert [sorted(dimensions) for dimensions in directive["Dimensions"]] == [["arm", "service"]]
    assert (blob["arm"], blob["service"]) == ("treatment", SERVICE)
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {
        metric: unit_of(metric) for metric in MetricName
    }
    assert all(blob[metric] == [1.0] for metric in MetricName)


def test_ids_and_reasons_are_metadata_and_no_dimensions(capsys: pytest.CaptureFixture[str]) -> None:
    """A dimension per user would be a metric per user."""
    EmfMetrics().emit("control", {MetricName.REQUESTS: 1.0}, {"bucket": "7", "reason": "split"})
    blob = orjson.loads(capsys.readouterr().out)
    assert (blob["bucket"], blob["reason"]) == ("7", "split")
    assert {"bucket", "reason"}.isdisjoint(blob["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0])


@pytest.mark.parametrize("arm", ["treatment", None])
def test_the_line_is_the_one_that_powertools_prints(capsys: pytest.CaptureFixture[str], arm: str | None) -> None:
    """The same names in the same order, with the same values: all but the time."""
    metadata: dict[str, Any] = {"reason": "split", "steps_ms": {"total": 1.5}, "note": 'quotes " and \u00e9'}
    EmfMetrics().emit(arm, dict.fromkeys(MetricName, 0.5), metadata)
    AmazonCloudWatchEMFProvider(
        metric_set={name: {"Unit": unit_of(name), "StorageResolution": 60, "Value": [0.5]} for name in MetricName},
        dimension_set={} if arm is None else {"arm": arm},
        metadata_set=dict(metadata),
        default_dimensions={},
        namespace=NAMESPACE,
        service=SERVICE,
    ).flush_metrics()
    ours, theirs = (list(orjson.loads(line).items()) for line in capsys.readouterr().out.splitlines())
    for (name, value), (its_name, its_value) in zip(ours[1:], theirs[1:], strict=True):
        assert (name, value) == (its_name, its_value)
    (_, ours_aws), (_, theirs_aws) = ours[0], theirs[0]
    assert ours_aws["CloudWatchMetrics"] == theirs_aws["CloudWatchMetrics"]
    assert abs(ours_aws["Timestamp"] - theirs_aws["Timestamp"]) < 60_000


def test_a_failure_to_emit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It costs the request nothing, but is not silent."""
    with caplog.at_level(logging.ERROR):
        EmfMetrics().emit("control", {"NoSuchMetric": 1.0}, {})
    assert "metrics were not emitted" in caplog.text
