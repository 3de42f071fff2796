"""What a request gets of a student: where the LLM has said nothing, and only where the flag allows it."""

from collections.abc import Callable
from typing import Any

import pytest

from flagrank.domain import Mode, Reason, Recommendation
from flagrank.errors import LLMRejected, LLMThrottled, LLMUnavailable, RerankTimeout
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName
from flagrank.model.student import Student, StudentDocument
from flagrank.ports import Completion, Prompt
from flagrank.serving.api import answer_document
from flagrank.serving.telemetry import measured
from tests.factories import make_factors, make_student
from tests.wiring import Wired, by_item_number, completion_of, ids, items_of

FILL = FlagDocument(enabled=True, percent=100, alpha=0.0, student="fill")
OFF = FILL.model_copy(update={"student": "off"})
# "red" is met by every seventh item; taste alone would spread them
QUERY = "red"

type Answer = Callable[[Prompt], Completion]


def with_student(flag: FlagDocument = FILL, answer: Answer = by_item_number, student: Any = None) -> Wired:
    return Wired(flag, answer=answer, factors=make_factors(items=200, student=student or make_student()))


def failing(error: Exception) -> Answer:
    def answer(prompt: Prompt) -> Completion:
        raise error

    return answer


def judged_first_batch(prompt: Prompt) -> Completion:
    """Only the batch with the last item of the head is answered."""
    numbers = [int(item["text"].split()[-1]) for item in items_of(prompt)]
    if max(numbers) < 190:
        raise LLMUnavailable("no answer for this batch")
    return completion_of([min(100, number // 2) for number in numbers])


def counted(answer: Recommendation) -> dict[str, float]:
    return {name: float(value) for name, value in measured(answer).items()}


TROUBLE = {
    Reason.TIMEOUT: failing(RerankTimeout("too late")),
    Reason.THROTTLED: failing(LLMThrottled("too many")),
    Reason.LLM_REJECTED: failing(LLMRejected("no access")),
    Reason.LLM_UNAVAILABLE: failing(LLMUnavailable("down")),
    Reason.PARSE: lambda _: Completion("no JSON", "end_turn", 1, 1),
    Reason.CUT_OFF: lambda _: Completion("{", "max_tokens", 1, 1),
    Reason.ALL_TIED: lambda prompt: completion_of([50] * prompt.size),
}


@pytest.mark.parametrize("reason", TROUBLE)
def test_the_student_serves_where_the_llm_failed(reason: Reason) -> None:
    """The reason says what became of the LLM, and no item carries a score of it."""
    answer = with_student(answer=TROUBLE[reason]).recommend(query=QUERY)
    assert (answer.mode, answer.reason, answer.diagnostics.llm_share) == (Mode.STUDENT_RERANK, reason, 0)
    assert {entry.llm_score for entry in answer.items} == {None}
    assert [entry.student_score for entry in answer.items] == [0.8] * 10
    assert all("red" in entry.candidate.text for entry in answer.items)


def test_without_a_student_the_baseline_serves_as_before() -> None:
    """The flag may allow what the set does not have."""
    wired = Wired(FILL, answer=TROUBLE[Reason.TIMEOUT], factors=make_factors(items=200))
    answer = wired.recommend(query=QUERY)
    assert (answer.mode, answer.reason) == (Mode.FALLBACK_BASELINE, Reason.TIMEOUT)
    assert answer.diagnostics.llm_share is None


@pytest.mark.parametrize("answer", [by_item_number, TROUBLE[Reason.TIMEOUT], judged_first_batch])
def test_a_flag_that_says_off_leaves_the_student_out(answer: Answer) -> None:
    """Byte for byte what a set without a student answers."""
    with_one = with_student(OFF, answer).recommend(query=QUERY, explain=True)
    without = Wired(OFF, answer=answer, factors=make_factors(items=200)).recommend(query=QUERY, explain=True)
    assert answer_document(with_one, explain=True) == answer_document(without, explain=True)


def test_an_unreadable_cache_is_no_hindrance() -> None:
    """The LLM is not asked without its limits; the student costs nothing."""
    wired = with_student()
    wired.cache.broken = True
    answer = wired.recommend(query=QUERY)
    assert (answer.mode, answer.reason) == (Mode.STUDENT_RERANK, Reason.CACHE)


def test_neither_is_a_spent_cap_nor_an_open_breaker() -> None:
    """Both keep the LLM from being asked."""
    capped = with_student(FILL.model_copy(update={"daily_usd_cap": 0.0})).recommend(query=QUERY)
    assert (capped.mode, capped.reason) == (Mode.STUDENT_RERANK, Reason.COST_CAP)
    failing_llm = with_student(answer=TROUBLE[Reason.LLM_UNAVAILABLE])
    answers = [failing_llm.recommend(query=QUERY) for _ in range(6)]
    assert (answers[-1].mode, answers[-1].reason) == (Mode.STUDENT_RERANK, Reason.BREAKER_OPEN)


def test_a_gated_request_is_the_student_s() -> None:
    """The gate weighs the LLM's price, and the student has none. Nothing was attempted, and no model is named."""
    gate = {"gate": True, "gate_sparse_below": 0}
    # what every item meets tells none apart, and a profile has such words
    answer = with_student(FILL.model_copy(update=gate), student=make_student(red=30.0)).recommend()
    assert (answer.mode, answer.reason) == (Mode.STUDENT_RERANK, Reason.GATED)
    assert not answer.diagnostics.rerank_attempted
    assert answer.versions.model is None


def test_few_scores_of_the_llm_are_kept_beside_the_student_s() -> None:
    """Too few for an order of their own; the reason says so, and the share."""
    answer = with_student(answer=judged_first_batch).recommend(query=QUERY, top_k=100)
    share = answer.diagnostics.llm_share
    assert share is not None
    assert 0 < share < 0.5
    assert (answer.mode, answer.reason) == (Mode.HYBRID_RERANK, Reason.LLM_UNAVAILABLE)
    head = [entry for entry in answer.items if entry.candidate.rank < FILL.top_m]
    assert len([entry for entry in head if entry.llm_score is not None]) == round(share * len(head))
    assert all((entry.llm_score is None) != (entry.student_score is None) for entry in head)
    # without the student the same answer is a fallback
    assert with_student(OFF, judged_first_batch).recommend(query=QUERY).mode is Mode.FALLBACK_BASELINE


def test_a_head_that_the_llm_judged_whole_has_nothing_of_the_student() -> None:
    """The student fills, and never overrules."""
    filled, plain = (with_student(flag).recommend(query=QUERY) for flag in (FILL, OFF))
    assert (filled.mode, filled.reason, filled.diagnostics.llm_share) == (Mode.HYBRID_RERANK, Reason.SPLIT, 1)
    assert ids(filled) == ids(plain)


@pytest.mark.parametrize(
    ("change", "asked", "reason"),
    [
        ({"alpha": 1.0}, {"query": QUERY}, Reason.ALPHA_ONE),
        ({}, {"user_id": 999}, Reason.NO_INTENT),
        ({}, {"query": QUERY, "category": "nowhere"}, Reason.NOTHING_TO_RERANK),
    ],
)
def test_what_the_llm_cannot_help_the_student_cannot(
    change: dict[str, Any], asked: dict[str, Any], reason: Reason
) -> None:
    """Without an intent, without weight or without items there is nothing to judge."""
    answer = with_student(FILL.model_copy(update=change)).recommend(**asked)
    assert answer.reason is reason
    assert answer.mode in (Mode.BASELINE, Mode.COLD_START)


def test_a_student_to_whom_all_is_alike_changes_nothing() -> None:
    """No word of the query is in any text: what happened to the LLM is the whole answer."""
    answer = with_student(answer=TROUBLE[Reason.TIMEOUT]).recommend(query="zzzzzzzz")
    assert (answer.mode, answer.reason) == (Mode.FALLBACK_BASELINE, Reason.TIMEOUT)


def test_a_bug_in_the_student_costs_the_rerank_alone() -> None:
    """As every bug of the step does, and it is counted as unknown."""
    broken = make_student()
    document = StudentDocument(features=("no such column",), trees=broken.document.trees)
    answer = with_student(answer=TROUBLE[Reason.TIMEOUT], student=Student(document, broken.pairs)).recommend(
        query=QUERY
    )
    assert (answer.mode, answer.reason) == (Mode.FALLBACK_BASELINE, Reason.UNKNOWN)


@pytest.mark.parametrize(
    ("answer", "mode", "reason"),
    [
        (by_item_number, Mode.BASELINE, Reason.SHADOW),
        (TROUBLE[Reason.TIMEOUT], Mode.FALLBACK_BASELINE, Reason.TIMEOUT),
    ],
)
def test_shadow_serves_the_baseline_and_compares_what_the_student_would_do(
    answer: Answer, mode: Mode, reason: Reason
) -> None:
    """The list kept back is the one that would be served, and trouble is not hidden by it."""
    shadowed = with_student(FILL.model_copy(update={"mode": "shadow"}), answer).recommend(query=QUERY)
    assert (shadowed.mode, shadowed.reason) == (mode, reason)
    assert ids(shadowed) == ids(Wired(None, factors=make_factors(items=200)).recommend(query=QUERY))
    assert shadowed.diagnostics.shadow is not None
    assert [*shadowed.diagnostics.shadow.items] == ids(with_student(FILL, answer).recommend(query=QUERY))


def test_explain_tells_whose_each_score_is() -> None:
    """The share of the LLM's, and the student's score under its own name."""
    document = answer_document(with_student(answer=TROUBLE[Reason.TIMEOUT]).recommend(query=QUERY), explain=True)
    assert document["mode"] == "student_rerank"
    assert document["diagnostics"]["llm_share"] == 0
    assert {(item["llm_score"], item["student_score"]) for item in document["items"]} == {(None, 0.8)}


def test_metrics_do_not_take_the_student_for_the_llm() -> None:
    """A failed LLM is a fallback to whatever took over, so that a rollout's judge and alarms see it."""
    answer = counted(with_student(answer=TROUBLE[Reason.TIMEOUT]).recommend(query=QUERY))
    assert [answer[name] for name in LLM_METRICS] == [1, 0, 0, 1, 1]
    few = counted(with_student(answer=judged_first_batch).recommend(query=QUERY))
    assert [few[name] for name in LLM_METRICS] == [1, 0, 0, 1, 1]
    whole = counted(with_student().recommend(query=QUERY))
    assert [whole[name] for name in LLM_METRICS] == [1, 1, 0, 0, 0]


def test_a_request_that_the_student_completes_counts_as_judged_in_part() -> None:
    """The LLM judged most of it: applied, partial, and no fallback."""

    def most(prompt: Prompt) -> Completion:
        numbers = [int(item["text"].split()[-1]) for item in items_of(prompt)]
        if 25 in numbers:
            raise LLMUnavailable("no answer for this batch")
        return completion_of([min(100, number // 2) for number in numbers])

    answer = with_student(answer=most).recommend(query="thing")
    assert answer.mode is Mode.HYBRID_RERANK
    assert 0.5 < (answer.diagnostics.llm_share or 0) < 1
    assert [counted(answer)[name] for name in LLM_METRICS] == [1, 1, 1, 0, 0]


LLM_METRICS = (
    MetricName.RERANK_ELIGIBLE,
    MetricName.RERANK_APPLIED,
    MetricName.RERANK_PARTIAL,
    MetricName.FALLBACK,
    MetricName.STUDENT_APPLIED,
)
