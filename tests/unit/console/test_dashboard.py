"""CloudWatch's dashboard, drawn from the template's JSON."""

import json
import math
from typing import Any

import numpy as np
import pytest

from flagrank.cli.console_dashboard import dashboard_body
from flagrank.console.dashboard import evaluate, graphs
from flagrank.local.series import REMEMBERED_S, STEP_S, Series
from flagrank.metric_names import MetricName
from tests.unit.console.test_app import World, words

NOW_S = 1_800_000_000


@pytest.fixture
def world() -> World:
    return World()


def test_every_widget_of_the_template_is_drawn(world: World) -> None:
    """With its title and lines, the newest value of each, and a dash where there are no data."""
    page = world.page("dashboard")
    titles = [
        widget["properties"]["title"]
        for widget in json.loads(dashboard_body())["widgets"]
        if widget["type"] == "metric"
    ]
    assert all(f">{title}</h2>" in page for title in titles)
    said = words(page)
    assert "p95 control: 40 p99 control: 40 p95 treatment: 480" in said
    assert "share treated (%): 25" in said
    assert "parse failure: 33.3" in said
    assert "p95 age of a task: -" in said
    assert page.count("<polyline") > len(titles)


def test_in_aws_the_page_says_where_the_dashboard_is(world: World) -> None:
    """CloudWatch draws it better."""
    world.down = True
    assert "CloudWatch has it" in words(world.page("dashboard"))


def test_metric_math_is_arithmetic_and_fill() -> None:
    """What is divided by nothing has no value, and anything else is refused."""
    values = {"a": np.array([1.0, 2.0, math.nan]), "b": np.array([0.0, 4.0, 1.0])}
    assert evaluate("100 * FILL(a, 0) / (FILL(a, 0) + b)", values).tolist() == [
        100.0,
        pytest.approx(33.33, abs=0.01),
        0.0,
    ]
    assert np.isnan(evaluate("a / b", values)).tolist() == [True, False, True]
    for foreign in ("__import__('os')", "c", "SEARCH(a)", "a ** b"):
        with pytest.raises(ValueError, match="not understood"):
            evaluate(foreign, values)


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    """A line is not drawn across the minutes of which nobody knows. Sums are told for the widget's minute."""
    rows = [
        {"at_s": NOW_S - ago, "service": "recommend", "arm": "control", "Sum": {"Requests": 5.0}}
        for ago in (20, 30, 200, 210)
    ]
    drawn = {graph.title: graph for graph in graphs(dashboard_body(), {"step_s": 10, "rows": rows}, NOW_S)}
    lines = {line.label: line for line in drawn["Requests, stale flags, and the guard"].lines}
    assert (len(lines["control"].pieces), lines["control"].newest) == (2, "30")
    assert (lines["treatment"].pieces, lines["treatment"].newest) == ([], "-")


def test_the_local_cloud_remembers_half_an_hour_in_steps() -> None:
    """Sums, averages and percentiles by service and arm; older steps are forgotten."""
    series = Series()

    def take(at_s: int, latency_ms: float) -> None:
        values: dict[str, Any] = {MetricName.REQUESTS: [1.0], MetricName.RECOMMEND_LATENCY: [latency_ms]}
        series.take({"_aws": {"Timestamp": 1000 * at_s}, "service": "recommend", "arm": "control", **values})

    for latency_ms in (10.0, 20.0):
        take(NOW_S, latency_ms)
    (row,) = series.document(NOW_S - STEP_S)["rows"]
    assert (row["service"], row["arm"], row["Sum"]["Requests"], row["Average"]["RecommendLatency"]) == (
        "recommend",
        "control",
        2,
        15,
    )
    assert 19 < row["p95"]["RecommendLatency"] <= 20
    take(NOW_S + REMEMBERED_S + 2 * STEP_S, 10.0)
    assert len(series.document(0)["rows"]) == 1
