"""Many tasks, until they are done or going on is of no use."""

import threading
from collections import Counter

import pytest

from flagrank.domain import Reason, Usage
from flagrank.errors import (
    BreakerOpen,
    CacheUnavailable,
    CostCapReached,
    LLMRejected,
    MalformedAnswer,
    RerankError,
)
from flagrank.ports import JudgementTask
from flagrank.rerank.warming import WarmResult
from flagrank.warming.run import FAILURES_TO_STOP, PASSES, WarmReport, warm_all

TASKS = [JudgementTask(f"intent {number}", "model", "v1", ("a", "b")) for number in range(40)]
JUDGED = WarmResult(written=2, usage=Usage(llm_calls=1, cost_micro_usd=5))


def failed(trouble: RerankError) -> WarmResult:
    return WarmResult(missing=2, usage=Usage(llm_calls=1), trouble=trouble)


def run(results: dict[str, WarmResult], at_once: int = 1) -> tuple[WarmReport, list[str]]:
    """Judges all tasks, those of `results` with the result given; and the intents in the order of their beginning."""
    begun: list[str] = []

    def warm(task: JudgementTask) -> WarmResult:
        begun.append(task.intent)
        return results.get(task.intent, JUDGED)

    return warm_all(TASKS, warm, at_once, lambda done, total: None), begun


@pytest.mark.parametrize("at_once", [1, 7])
def test_every_task_is_judged_once_and_counted(at_once: int) -> None:
    """The report is the sum of the results."""
    report, begun = run({}, at_once)
    assert sorted(begun) == sorted(task.intent for task in TASKS)
    assert (len(report.latest), report.written, report.missing, report.stopped_by) == (40, 80, 0, None)
    assert (report.usage.llm_calls, report.usage.cost_micro_usd) == (40, 200)


@pytest.mark.parametrize("trouble", [CostCapReached(""), BreakerOpen(""), CacheUnavailable("")])
def test_trouble_that_will_not_pass_ends_the_run(trouble: RerankError) -> None:
    """No further task is begun, and the report says why."""
    report, begun = run({"intent 3": failed(trouble)})
    assert begun == [f"intent {number}" for number in range(4)]
    assert (report.stopped_by, report.troubles[trouble.reason]) == (trouble, 1)


def test_what_is_under_way_at_the_end_is_counted() -> None:
    """Paid for is paid for: whatever was begun is in the report."""
    both = threading.Barrier(2)
    begun: list[JudgementTask] = []

    def warm(task: JudgementTask) -> WarmResult:
        begun.append(task)
        if task in TASKS[:2]:
            both.wait(10)
        return failed(CostCapReached("")) if task is TASKS[0] else JUDGED

    report = warm_all(TASKS, warm, 2, lambda done, total: None)
    assert set(report.latest) == set(begun) >= set(TASKS[:2])
    assert (report.written, report.missing) == (2 * len(begun) - 2, 2)


def test_one_bad_intent_does_not_end_the_run() -> None:
    """A prompt that the model refuses or answers badly is counted, and the rest goes on."""
    report, begun = run({"intent 3": failed(LLMRejected("")), "intent 5": failed(MalformedAnswer(""))})
    assert len(set(begun)) == 40
    assert report.troubles == {Reason.LLM_REJECTED: 1, Reason.PARSE: 1}
    assert report.missing == 4
    assert report.stopped_by is None


def test_nothing_but_failures_end_the_run() -> None:
    """A model that refuses every call is not asked a thousand times."""
    report, begun = run({task.intent: failed(LLMRejected("no access")) for task in TASKS})
    assert len(begun) == FAILURES_TO_STOP
    assert str(report.stopped_by) == "no access"


def test_what_failed_is_tried_again_at_the_end() -> None:
    """Twice at most; what came of it in the end is what is reported, and every call is counted."""
    tries: Counter[str] = Counter()

    def warm(task: JudgementTask) -> WarmResult:
        tries[task.intent] += 1
        if task.intent == "intent 3" and tries[task.intent] == 1:
            return WarmResult(written=1, missing=1, usage=Usage(llm_calls=2), trouble=MalformedAnswer(""))
        if task.intent == "intent 3":
            return WarmResult(written=1, known=1, usage=Usage(llm_calls=1))
        return failed(MalformedAnswer("")) if task.intent == "intent 5" else JUDGED

    report = warm_all(TASKS, warm, 1, lambda done, total: None)
    assert tries == Counter({task.intent: 1 for task in TASKS}) | Counter({"intent 3": 2, "intent 5": PASSES})
    assert (report.written, report.known, report.missing) == (2 * 39, 0, 2)
    assert report.troubles == {Reason.PARSE: 1}
    assert report.usage.llm_calls == 38 + 3 + PASSES
