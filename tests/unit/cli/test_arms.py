"""Both arms as programs read them."""

import json

from flagrank.cli.arms import arms_document
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import SLOWER, Limit, Metric
from flagrank.delivery.analysis.verdict import judge

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
