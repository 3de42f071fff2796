"""The queue's worker: what it judges, what it drops, and what it sends back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flagrank.adapters.in_memory import (
    InlineExecutor,
    InMemoryFlagSource,
    InMemoryMetrics,
    InMemoryScoreCache,
    ManualClock,
    ScriptedJudge,
)
from flagrank.domain import Arm
from flagrank.errors import CostCapReached, LLMRejected, LLMThrottled, MalformedAnswer, RerankError, UnsupportedEvent
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName, WarmMetric
from flagrank.ports import JudgementTask
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.messages import write_task
from flagrank.rerank.records import record_key
from flagrank.rerank.spending import Allowance
from flagrank.rerank.warming import Warmer
from flagrank.rerank.worker import OUTCOMES, Message, Worker, messages_of

FLAG = FlagDocument(enabled=True, percent=100)
MAX_AGE_S = 3600


class World:
    """A worker and what is under it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.cache = InMemoryScoreCache(self.clock)
        self.flags = InMemoryFlagSource(FLAG)
        self.judge = ScriptedJudge(len)
        self.metrics, self.arms = InMemoryMetrics(), InMemoryMetrics()
        warmer = Warmer(
            self.judge, self.cache, Breaker(self.clock), self.clock, self.clock.advance, 3600, Allowance(self.cache)
        )
        self.worker = Worker(
            warmer, self.cache, self.flags, self.clock, self.metrics, self.arms, InlineExecutor(), MAX_AGE_S
        )

    def handle(self, *bodies: str, age_s: float = 0) -> list[str]:
        """The ids of what comes back, of messages that were sent so long ago."""
        messages = [Message(str(number), body, self.clock.now() - age_s) for number, body in enumerate(bodies)]
        return self.worker.handle(messages, remaining_s=120)

    def outcomes(self) -> list[str]:
        """What each message was counted as."""
        return [next(name for name in OUTCOMES if values[name]) for _, values, _ in self.metrics.records]


def body_of(intent: str = "red shoes", model_id: str = FLAG.model_id, version: str = "scripted") -> str:
    return write_task(JudgementTask(intent, model_id, version, ("a", "bb", "ccc")))


def switch_off(world: World) -> None:
    world.flags.document = FLAG.model_copy(update={"enabled": False})


def never_configured(world: World) -> None:
    world.flags.document = None


def another_model(world: World) -> None:
    world.flags.document = FLAG.model_copy(update={"model_id": "other.model"})


def test_a_task_is_judged_and_its_claim_released() -> None:
    """The message is done, and what is still missing may be enqueued at once."""
    world = World()
    key = record_key("red shoes", FLAG.model_id, "scripted")
    assert world.cache.claim(key, 30)
    assert world.handle(body_of()) == []
    assert world.outcomes() == [WarmMetric.MESSAGES_JUDGED]
    record = world.cache.read(key, "").record
    assert record is not None
    assert len(record.scores) == 3
    assert world.cache.claim(key, 30)


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        (switch_off, WarmMetric.MESSAGES_OFF),
        (never_configured, WarmMetric.MESSAGES_OFF),
        (another_model, WarmMetric.MESSAGES_OUTDATED),
    ],
)
def test_what_the_flag_no_longer_asks_for_is_dropped(change: Callable[[World], None], counted: WarmMetric) -> None:
    """The kill switch ends the spending too, and each drop has its name."""
    world = World()
    change(world)
    assert world.handle(body_of()) == []
    assert world.outcomes() == [counted]
    _, values, _ = world.metrics.records[0]
    assert MetricName.LLM_CALLS not in values


def test_a_task_of_another_wording_is_dropped() -> None:
    """Its scores would lie under a key that nobody reads."""
    world = World()
    assert world.handle(body_of(version="listwise-0")) == []
    assert world.outcomes() == [WarmMetric.MESSAGES_OUTDATED]


def test_a_task_that_is_too_old_is_dropped() -> None:
    """Whoever still asks enqueues it anew; its age is recorded either way."""
    world = World()
    assert world.handle(body_of(), age_s=MAX_AGE_S + 1) == []
    assert world.handle(body_of(), age_s=MAX_AGE_S - 1) == []
    assert world.outcomes() == [WarmMetric.MESSAGES_EXPIRED, WarmMetric.MESSAGES_JUDGED]
    assert world.metrics.records[0][1][WarmMetric.QUEUE_AGE] == (MAX_AGE_S + 1) * 1000


def test_a_message_that_cannot_be_read_goes_back_and_so_to_the_dead() -> None:
    """It stands in nobody's way: the others of its batch are judged."""
    world = World()
    assert world.handle("no task", body_of()) == ["0"]
    assert world.outcomes() == [WarmMetric.MESSAGES_UNREADABLE, WarmMetric.MESSAGES_JUDGED]


@pytest.mark.parametrize(
    ("trouble", "comes_back"),
    [
        (LLMThrottled("busy"), True),
        (MalformedAnswer("what?"), False),
        (LLMRejected("no access"), False),
        (CostCapReached("spent"), False),
    ],
)
def test_only_trouble_that_may_pass_is_delivered_again(trouble: RerankError, comes_back: bool) -> None:
    """Anything else would be paid for again. The claim stays, so that the intent is left alone for a while."""
    world = World()
    key = record_key("red shoes", FLAG.model_id, "scripted")
    world.judge.trouble = trouble
    world.cache.claim(key, 3600)
    assert world.handle(body_of()) == (["0"] if comes_back else [])
    assert world.outcomes() == [WarmMetric.MESSAGES_FAILED]
    assert world.metrics.records[0][2] == {"reason": trouble.reason}
    assert not world.cache.claim(key, 30)


def test_a_bug_fails_its_own_message_alone() -> None:
    """Nothing that nobody foresaw takes the batch with it."""
    world = World()

    def bug(text: str) -> int:
        if text == "boom":
            raise RuntimeError("a bug")
        return len(text)

    world.judge._relevance = bug
    bad = write_task(JudgementTask("blue hats", FLAG.model_id, "scripted", ("boom", "bb")))
    assert world.handle(bad, body_of()) == ["0"]
    assert world.outcomes() == [WarmMetric.MESSAGES_FAILED, WarmMetric.MESSAGES_JUDGED]


def test_what_judging_costs_is_the_treated_arm_s() -> None:
    """A ramp judges the cost of what its requests enqueued, and a message that cost nothing adds nothing."""
    world = World()
    judge = world.judge.judge

    def billed(*values: object) -> object:
        judgement = judge(*values)  # type: ignore[arg-type]
        judgement.usage.cost_micro_usd = 70
        return judgement

    world.judge.judge = billed  # type: ignore[assignment, method-assign]
    world.handle(body_of())
    world.handle(body_of())
    ((arm, values, _),) = world.arms.records
    assert (arm, values[MetricName.COST_MICRO_USD], values[MetricName.LLM_CALLS]) == (Arm.TREATMENT, 70, 1)
    assert MetricName.TIMEOUT not in values
    assert [values[MetricName.COST_MICRO_USD] for _, values, _ in world.metrics.records] == [70, 0]


def test_an_event_of_a_queue_gives_its_messages() -> None:
    """Id, body and the time at which it was sent, in seconds; any other event is refused."""
    event = json.loads((Path(__file__).parents[3] / "infra/events/warm.json").read_text())
    (message,) = messages_of(event)
    assert message.message_id == event["Records"][0]["messageId"]
    assert message.sent_at_s == 4102444800.0
    for other in ({}, {"Records": [{"eventSource": "aws:s3"}]}):
        with pytest.raises(UnsupportedEvent):
            messages_of(other)
