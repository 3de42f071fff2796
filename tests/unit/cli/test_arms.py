"""Both arms as programs read them."""

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flagrank.cli.arms import ArmsView, arms_document
from flagrank.cli.gauge import CELLS, FLOOR_MARK, MARK, gauge
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import SLOWER, Limit, Metric
from flagrank.delivery.analysis.verdict import MetricResult, Outcome, judge

COUNT_NAMES = {
    "requests",
    "users",
    "errors",
    "attempted",
    "fallbacks",
    "timeouts",
    "malformed",
    "slower",
    "cost_micro_usd",
    "cost_micro_usd_squared",
    "shown",
    "clicked",
    "stale",
}
FINDING_NAMES = {
    "figure",
    "outcome",
    "sentence",
    "treatment",
    "control",
    "low",
    "high",
    "limit",
    "is_ceiling",
    "is_floor",
    "excess",
    "more_requests",
    "causes",
}


def test_the_keys_of_the_document_stay() -> None:
    """Programs read these names, whatever the code calls them: a release may add to them, and never take one away."""
    arms = Arms(ArmCounts(requests=900, users=300, attempted=900, shown=9), ArmCounts(requests=900, users=300, shown=9))
    limits = Limits({Metric.CLICKS: Limit(absolute=0.1)})
    document = json.loads(json.dumps(arms_document(arms, judge(arms.treatment, arms.control, limits, 50))))
    assert document.keys() == {"treatment", "control", "verdict", "findings"}
    assert document["treatment"].keys() >= COUNT_NAMES
    assert document["control"].keys() == document["treatment"].keys()
    assert document["treatment"]["requests"] == 900
    assert len(document["treatment"]["slower"]) == len(SLOWER.rungs)
    assert document["verdict"] in ("pass", "fail", "hold")
    assert {finding["outcome"] for finding in document["findings"]} <= {"pass", "fail", "hold"}
    assert {frozenset(finding) for finding in document["findings"]} == {frozenset(FINDING_NAMES)}
    assert {finding["figure"] for finding in document["findings"]} >= {
        "requests",
        "split",
        "errors",
        "fallbacks",
        "timeouts",
        "malformed",
        "p95",
        "cost",
        "clicks",
    }


def failing() -> Arms:
    """Four of five requests fall back: most for a malformed answer, some because they were throttled."""
    treated = ArmCounts(
        requests=1000, users=300, attempted=1000, fallbacks=800, malformed=710, throttled=90, cost_micro_usd=1000
    )
    return Arms(treated, ArmCounts(requests=3000, users=900))


def drawn(view: ArmsView, height: int | None = None) -> list[str]:
    written = io.StringIO()
    console = Console(file=written, width=80, height=height or 100)
    console.print(view.shown(console if height else None))
    return written.getvalue().splitlines()


def test_a_failure_names_its_causes_and_where_to_look() -> None:
    """The shares of what the treated requests met, the most frequent first; a program gets them as well."""
    arms = failing()
    verdict = judge(arms.treatment, arms.control, Limits(), 25)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.causes == ("fallbacks 80.0 %: malformed 71.0 %, throttled 9.0 %",)
    assert verdict.causes[0] in verdict.summary
    lines = drawn(ArmsView(arms, verdict, "25 %", further="sam logs"))
    assert lines[-2:] == ["why: fallbacks 80.0 %: malformed 71.0 %, throttled 9.0 %", "look further: sam logs"]
    (told, *_) = (entry for entry in arms_document(arms, verdict)["findings"] if entry["figure"] == "fallbacks")
    assert told["causes"] == {"malformed": 0.71, "throttled": 0.09}


def test_what_has_no_data_has_no_figure() -> None:
    """A share of no requests is a dash for people and null for programs, and so is its distance from the limit."""
    arms = Arms(ArmCounts(requests=50, users=20), ArmCounts(requests=150, users=60))
    verdict = judge(arms.treatment, arms.control, Limits(), 25)
    rows = [
        line.split() for line in drawn(ArmsView(arms, verdict, "25 %")) if line.startswith(("fallbacks ", "timeouts "))
    ]
    assert {tuple(row[1:5]) for row in rows} == {("-", "-", "-", "-")}
    told = {entry["figure"]: entry["treatment"] for entry in arms_document(arms, verdict)["findings"]}
    assert (told["fallbacks"], told["malformed"], told["errors"]) == (None, None, 0.0)


@pytest.mark.parametrize("counts", [failing(), Arms(ArmCounts(requests=9, users=3), ArmCounts(requests=9, users=3))])
def test_a_low_terminal_shows_what_is_not_well(counts: Arms) -> None:
    """Nothing is cut at its lower edge: what passes is left out, and said to be there."""
    verdict = judge(counts.treatment, counts.control, Limits(), 25)
    lines = drawn(ArmsView(counts, verdict, "25 %", further="sam logs"), height=20)
    assert len(lines) < 20
    assert len([line for line in lines if line.endswith(("fail", "hold"))]) == sum(
        entry.outcome is not Outcome.PASS for entry in verdict.results if entry.metric != "requests"
    )
    assert any(line.startswith("within their limits") for line in lines)


bounds = st.floats(-1e6, 1e6)


@given(bounds, bounds, st.floats(1e-3, 1e6), st.booleans())
def test_a_gauge_is_as_wide_as_every_other(low: float, high: float, limit: float, is_floor: bool) -> None:
    """Its limit stands at one place, and what is surely on one side of it is drawn on that side."""
    low, high = sorted((low, high))
    result = MetricResult(Metric.ERRORS, Outcome.INCONCLUSIVE, "", 0.0, 0.0, low, high, limit, is_floor=is_floor)
    cells = gauge(result)
    before, _, after = cells.partition("|")
    assert (len(cells), len(before)) == (CELLS + 1, FLOOR_MARK if is_floor else MARK)
    assert high > limit or not set(after) & set("=>")
    assert low < limit or "=" not in before


def test_a_gauge_without_data_or_scale_is_a_dash() -> None:
    """A limit of zero has no scale."""
    result = MetricResult(Metric.ERRORS, Outcome.INCONCLUSIVE, "", 0.0, 0.0, 0.0, 1.0, 0.0)
    assert gauge(result) == gauge(replace(result, treatment=None, limit=1.0)) == "-"
