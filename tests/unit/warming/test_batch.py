"""A batch's plan, and what becomes of its answers."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.adapters.in_memory import InMemoryScoreCache, ManualClock
from flagrank.domain import Reason
from flagrank.errors import CloudError, ConfigurationError
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, ScoreCache
from flagrank.rerank.answers import COMPACT
from flagrank.rerank.batch_inference import BatchAnswer, BatchRecord
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.pricing import Price
from flagrank.rerank.records import entry_key, record_key
from flagrank.rerank.spending import Allowance
from flagrank.rerank.warming import Warmer
from flagrank.timing import Deadline
from flagrank.warming.batch import MIN_RECORDS, BatchPlan, plan_batch, read_plan
from flagrank.warming.heads import Head
from flagrank.warming.ingest import BatchAnswers, BatchJudge, read_answers
from tests.wiring import completion_of, items_of

FLAG = FlagDocument(enabled=True, percent=100)
PRICES = {"*": Price(input_usd=1.0, output_usd=4.0)}
HEADS = [Head(f"intent {number}", tuple(f"thing {item}" for item in range(20))) for number in range(60)]
PLAN, RECORDS = plan_batch(HEADS, FLAG, batch_items=10, micro_usd=7, now_s=1_800_000_000.0)


def judged(record: BatchRecord) -> Completion:
    """Relevance is the number at the text's end."""
    return completion_of([int(item["text"].split()[-1]) for item in items_of(record.prompt)])


ANSWERS = [BatchAnswer(record.record_id, judged(record)) for record in RECORDS]


def ingest(answers: BatchAnswers, cache: ScoreCache, clock: ManualClock) -> int:
    """Writes the answers; how many scores are new."""
    judge = BatchJudge(PLAN, answers)
    warmer = Warmer(judge, cache, Breaker(clock), clock, clock.advance, 3600, Allowance(cache))
    flag = judge.flag(FLAG.model_copy(update={"daily_usd_cap": 0.0, "model_id": "another"}))
    deadline = Deadline(clock, clock.monotonic() + 60)
    return sum(warmer.warm(task, flag, deadline).written for task in judge.tasks())


def stored(cache: ScoreCache, intent: str) -> dict[bytes, int]:
    record = cache.read(record_key(intent, FLAG.model_id, COMPACT.version), "").record
    return dict(record.scores) if record else {}


def test_the_plan_says_what_every_record_asks() -> None:
    """Each prompt's items are the plan's texts, in that order, and all texts of all heads are asked about once."""
    assert len(RECORDS) == len(PLAN.calls) == 120
    for record in RECORDS:
        assert [item["text"] for item in items_of(record.prompt)] == list(PLAN.calls[record.record_id].texts)
        assert record.max_output_tokens == COMPACT.max_output_tokens(record.prompt.size)
    asked = [(call.intent, text) for call in PLAN.calls.values() for text in call.texts]
    assert sorted(asked) == sorted((head.intent, text) for head in HEADS for text in head.texts)


def test_a_plan_survives_the_way_there_and_back() -> None:
    """Another process reads what this one wrote; anything else is refused by name."""
    assert read_plan(PLAN.model_dump_json().encode(), PLAN.name) == PLAN
    with pytest.raises(CloudError, match=r"plan\.json of warm-1"):
        read_plan(b"{}", "warm-1")


def test_a_batch_that_is_too_small_says_what_to_do() -> None:
    """Bedrock would take minutes to refuse it."""
    heads = HEADS[: MIN_RECORDS // 2 - 1]
    with pytest.raises(ConfigurationError, match="this would be 98: warm more, or without --batch"):
        plan_batch(heads, FLAG, 10, 0, 0.0)


def test_a_model_of_another_provider_takes_no_batch() -> None:
    """The flag may name one; a batch is Bedrock's alone."""
    with pytest.raises(ConfigurationError, match="which openai:gpt is none of"):
        plan_batch(HEADS, FLAG.model_copy(update={"model_id": "openai:gpt"}), 10, 0, 0.0)


def test_answers_are_written_as_a_request_reads_them() -> None:
    """Under the intent, the model and the prompt's version, by the text's key; at half the price, whatever the cap."""
    clock = ManualClock()
    cache = InMemoryScoreCache(clock)
    answers = read_answers(PLAN, reversed(ANSWERS), PRICES)
    assert ingest(answers, cache, clock) == 1200
    for head in HEADS:
        assert stored(cache, head.intent) == {entry_key(text): int(text.split()[-1]) for text in head.texts}
    assert (answers.records, answers.answered, answers.unanswered) == (120, 120, 0)
    assert answers.usage.cost_micro_usd == (120 * 100 + 4 * 120 * 50) // 2


def test_ingesting_twice_changes_nothing() -> None:
    """The second time every score is known."""
    clock = ManualClock()
    cache = InMemoryScoreCache(clock)
    answers = read_answers(PLAN, ANSWERS, PRICES)
    ingest(answers, cache, clock)
    before = {head.intent: cache.read(record_key(head.intent, FLAG.model_id, COMPACT.version), "") for head in HEADS}
    assert ingest(answers, cache, clock) == 0
    after = {head.intent: cache.read(record_key(head.intent, FLAG.model_id, COMPACT.version), "") for head in HEADS}
    assert before == after


def test_every_way_to_fail_is_counted_under_its_name() -> None:
    """What the service failed is not billed; what cannot be read was; what never came, came twice or is strange."""
    answers = [
        BatchAnswer(RECORDS[0].record_id, None, "400 bad request"),
        BatchAnswer(RECORDS[1].record_id, dataclasses.replace(judged(RECORDS[1]), text="seven")),
        BatchAnswer(RECORDS[2].record_id, dataclasses.replace(judged(RECORDS[2]), stop_reason="max_tokens")),
        ANSWERS[3],
        ANSWERS[3],
        BatchAnswer("R9999999999", judged(RECORDS[3])),
    ]
    found = read_answers(PLAN, answers, PRICES)
    assert found.errors == {"400 bad request": 1}
    assert found.malformed == {Reason.PARSE: 1, Reason.CUT_OFF: 1}
    assert (found.answered, found.unanswered, found.unknown, found.usage.llm_calls) == (1, 116, 2, 3)


def test_an_answer_of_ties_is_not_kept() -> None:
    """As in a request: a model that answers all alike has judged nothing."""
    clock = ManualClock()
    cache = InMemoryScoreCache(clock)
    tied = [BatchAnswer(record.record_id, completion_of([50] * record.prompt.size)) for record in RECORDS]
    assert ingest(read_answers(PLAN, tied, PRICES), cache, clock) == 0
    assert stored(cache, "intent 0") == {}


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["good", "error", "prose", "short"]), min_size=120, max_size=120))
def test_no_score_is_written_under_another_text_or_intent(fates: list[str]) -> None:
    """Whichever records fail and however, what is written is what the model said of that text."""
    clock = ManualClock()
    cache = InMemoryScoreCache(clock)
    answers = []
    for record, fate in zip(RECORDS, fates, strict=True):
        whole = judged(record)
        completion = {
            "good": whole,
            "error": None,
            "prose": dataclasses.replace(whole, text="I would say 7."),
            "short": completion_of([1] * (record.prompt.size - 1)),
        }[fate]
        answers.append(BatchAnswer(record.record_id, completion))
    found = read_answers(PLAN, answers, PRICES)
    ingest(found, cache, clock)
    assert found.answered == fates.count("good")
    for head in HEADS:
        good = {
            text
            for record, fate in zip(RECORDS, fates, strict=True)
            for text in PLAN.calls[record.record_id].texts
            if fate == "good" and PLAN.calls[record.record_id].intent == head.intent
        }
        assert stored(cache, head.intent) == {entry_key(text): int(text.split()[-1]) for text in good}


def test_the_plan_holds_intents_and_texts_and_nobody() -> None:
    """No field has room for a user's id."""
    assert set(BatchPlan.model_fields) == {"format", "name", "model_id", "version", "answer", "micro_usd", "calls"}
