"""What every MetricsSink promises."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.adapters.in_memory import InMemoryMetrics
from flagrank.metric_names import MetricName, SimilarMetric, WarmMetric
from flagrank.ports import MetricsSink

VALUES: dict[str, float] = {MetricName.REQUESTS: 1.0, MetricName.FALLBACK: 0.0, MetricName.RECOMMEND_LATENCY: 12.5}
METADATA: dict[str, Any] = {"reason": "split", "bucket": "7", "steps_ms": {"candidates": 0.25, "total": 1.5}}

type Records = Callable[[], list[tuple[str | None, dict[str, float], dict[str, Any]]]]


@pytest.fixture(params=["in_memory", "emf"])
def sink(request: pytest.FixtureRequest) -> tuple[MetricsSink, Records]:
    """A sink, and a way to read back what arrived as (arm, values, metadata)."""
    if request.param == "in_memory":
        metrics = InMemoryMetrics()
        return metrics, lambda: metrics.records
    capsys: pytest.CaptureFixture[str] = request.getfixturevalue("capsys")
    return EmfMetrics(), lambda: [read_back(orjson.loads(line)) for line in capsys.readouterr().out.splitlines()]


def read_back(blob: dict[str, Any]) -> tuple[str | None, dict[str, float], dict[str, Any]]:
    names = [metric["Name"] for directive in blob["_aws"]["CloudWatchMetrics"] for metric in directive["Metrics"]]
    values = {name: blob[name][0] for name in names}
    metadata = {key: text for key, text in blob.items() if key not in (*names, "_aws", "arm", "service")}
    return blob.get("arm"), values, metadata


def test_all_values_of_a_request_arrive_zeros_too(sink: tuple[MetricsSink, Records]) -> None:
    """A rate needs its zeros, and what belongs to one request stays in one record."""
    metrics, records = sink
    metrics.emit("treatment", VALUES, METADATA)
    assert records() == [("treatment", VALUES, METADATA)]


def test_a_request_without_an_arm_arrives_without_one(sink: tuple[MetricsSink, Records]) -> None:
    """Its figures must not be taken for an arm's."""
    metrics, records = sink
    values: dict[str, float] = {SimilarMetric.REQUESTS: 1.0, SimilarMetric.FAILURE: 0.0}
    metrics.emit(None, values, {"item_id": "7"})
    assert records() == [(None, values, {"item_id": "7"})]


def test_a_worker_s_figures_are_recorded_without_an_arm(sink: tuple[MetricsSink, Records]) -> None:
    """They are nobody's request."""
    metrics, records = sink
    metrics.emit(None, {WarmMetric.MESSAGES: 1.0}, {})
    assert records() == [(None, {WarmMetric.MESSAGES: 1.0}, {})]


def test_requests_do_not_mix(sink: tuple[MetricsSink, Records]) -> None:
    """The second record holds nothing of the first."""
    metrics, records = sink
    metrics.emit("treatment", VALUES, METADATA)
    metrics.emit("control", {MetricName.REQUESTS: 1.0}, {"reason": "deny"})
    assert records()[1] == ("control", {MetricName.REQUESTS: 1.0}, {"reason": "deny"})


@pytest.mark.parametrize("values", [{}, {"NoSuchMetric": 1.0}], ids=["nothing", "an unlisted name"])
def test_nothing_that_is_emitted_can_raise(sink: tuple[MetricsSink, Records], values: dict[str, float]) -> None:
    """A sink's trouble is never the request's: the next record still arrives."""
    metrics, records = sink
    metrics.emit("control", values, {})
    metrics.emit("control", VALUES, METADATA)
    assert records()[-1] == ("control", VALUES, METADATA)
