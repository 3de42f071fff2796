"""Metrics as CloudWatch reads them."""

import logging

import orjson
import pytest

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
    EmfMetrics().emit("control", {MetricName.REQUESTS: 1.0}, {"user_id": "7", "reason": "split"})
    blob = orjson.loads(capsys.readouterr().out)
    assert (blob["user_id"], blob["reason"]) == ("7", "split")
    assert {"user_id", "reason"}.isdisjoint(blob["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0])


def test_a_failure_to_emit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It costs the request nothing, but is not silent."""
    with caplog.at_level(logging.ERROR):
        EmfMetrics().emit("control", {"NoSuchMetric": 1.0}, {})
    assert "metrics were not emitted" in caplog.text
