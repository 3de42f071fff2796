"""What is recorded of a request that goes wrong in a way nobody foresaw."""

from typing import Any

import pytest

from flagrank.domain import Arm, Mode, Reason
from flagrank.errors import BaselineFailed, FactorsUnavailable, InvalidRequest
from flagrank.flags.assignment import BUCKETS, draw
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName
from flagrank.ranking import postprocess
from flagrank.ranking.rules import capped
from flagrank.rerank import step
from flagrank.serving import pipeline
from tests.wiring import Wired, ids

TREATED = FlagDocument(enabled=True, percent=100, alpha=0.0)
CONTROL = FlagDocument(enabled=True, percent=0)
SHADOW = TREATED.model_copy(update={"mode": "shadow"})


def bug(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(("flag", "arm"), [(TREATED, Arm.TREATMENT), (CONTROL, Arm.CONTROL)])
def test_a_request_without_an_answer_is_counted_in_its_arm(
    monkeypatch: pytest.MonkeyPatch, flag: FlagDocument, arm: Arm
) -> None:
    """A request and a failure, and who asked, so that the split of users stays right; the error goes on."""
    wired = Wired(flag)
    monkeypatch.setattr(postprocess, "capped", bug)
    with pytest.raises(BaselineFailed) as failed:
        wired.recommend(7, query="wireless")
    assert isinstance(failed.value.__cause__, RuntimeError)
    drawn = draw(flag.salt, 7)
    asked = {"request_id": "", "gateway_request_id": "", "draw": f"{drawn:08x}", "bucket": str(drawn % BUCKETS)}
    assert wired.metrics.records == [
        (arm, {MetricName.REQUESTS: 1.0, MetricName.FAILURE: 1.0}, {**asked, "assignment": Reason.SPLIT})
    ]


def test_what_the_caller_or_missing_factors_cause_is_not_counted() -> None:
    """A request that can never succeed is no failure of an arm, and without factors there is no arm."""
    wired, empty = Wired(), Wired(factors=None)
    with pytest.raises(InvalidRequest):
        wired.recommend("not a number")
    with pytest.raises(FactorsUnavailable):
        empty.recommend()
    assert wired.metrics.records == empty.metrics.records == []


@pytest.mark.parametrize("place", ["_why_useless", "worth_asking", "hybrid_order"])
def test_a_bug_in_the_treatment_alone_costs_the_rerank(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Once the baseline's order exists the treated user gets it, under the one reason that is alarmed on."""
    monkeypatch.setattr(step, place, bug)
    wired = Wired(TREATED)
    answer = wired.recommend(query="wireless")
    assert ids(answer) == ids(Wired(CONTROL).recommend(query="wireless"))
    assert (answer.mode, answer.arm, answer.reason) == (Mode.FALLBACK_BASELINE, Arm.TREATMENT, Reason.UNKNOWN)
    assert wired.metrics.records[0][1][MetricName.UNKNOWN_FAILURE] == 1


def test_a_bug_in_the_comparison_of_shadow_mode_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline is served, and the failure is counted."""
    monkeypatch.setattr(pipeline, "compare", bug)
    wired = Wired(SHADOW)
    answer = wired.recommend(query="wireless")
    assert ids(answer) == ids(Wired(CONTROL).recommend(query="wireless"))
    assert (answer.reason, answer.diagnostics.shadow) == (Reason.UNKNOWN, None)
    assert wired.metrics.records[0][1][MetricName.UNKNOWN_FAILURE] == 1


def test_rules_that_fail_on_the_llm_s_order_alone_serve_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is made once more, from the order that control has."""
    calls = iter(range(9))

    def fragile(*arguments: Any) -> Any:
        return bug() if next(calls) == 0 else capped(*arguments)

    expected = ids(Wired(CONTROL).recommend(query="wireless"))
    monkeypatch.setattr(postprocess, "capped", fragile)
    answer = Wired(TREATED).recommend(query="wireless")
    assert (ids(answer), answer.mode, answer.reason) == (expected, Mode.FALLBACK_BASELINE, Reason.UNKNOWN)
