"""What is queued after a publication."""

import pytest

from flagrank.adapters.in_memory import InMemoryJudgementQueue, InMemoryScoreCache, ManualClock, ScriptedJudge
from flagrank.domain import RecommendRequest
from flagrank.errors import QueueUnavailable
from flagrank.flags.document import FlagDocument
from flagrank.ports import ScoreRecord
from flagrank.ranking.rules import RuleSet
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.pricing import Price
from flagrank.rerank.records import entry_key, record_key
from flagrank.rerank.spending import Allowance
from flagrank.rerank.warming import Warmer
from flagrank.serving.resolve_rules import RulesBySet
from flagrank.warming.heads import Head, HeadReader
from flagrank.warming.publication import queue_active
from flagrank.warming.wanted import most_active
from flagrank.warming.warmup import Warmup
from tests.factories import make_factors

FACTORS = make_factors(items=200, users=20)
FLAG = FlagDocument(enabled=True, percent=100)


class World:
    """A warm-up over memory, and the queue."""

    def __init__(self, flag: FlagDocument = FLAG) -> None:
        self.clock = ManualClock()
        self.cache = InMemoryScoreCache(self.clock)
        self.queue = InMemoryJudgementQueue()
        judge = ScriptedJudge(len)
        warmer = Warmer(
            judge, self.cache, Breaker(self.clock), self.clock, self.clock.advance, 3600, Allowance(self.cache)
        )
        prices = {"*": Price(input_usd=1.0, output_usd=4.0)}
        self.warmup = Warmup(FACTORS, flag, RulesBySet(RuleSet()), warmer, prices, 10, 10)

    def heads(self, users: int) -> list[Head]:
        """The heads of the most active users, as requests have them."""
        reader = HeadReader(FACTORS, FLAG, RulesBySet(RuleSet()), self.clock)
        found = [reader.read(RecommendRequest(user_id)) for user_id in most_active(FACTORS, users)]
        return [head for head in found if isinstance(head, Head)]


def test_the_most_active_users_heads_are_queued() -> None:
    """In the worker's terms: intent, model, version and texts."""
    world = World()
    queued = queue_active(world.warmup, 5, world.queue)
    heads = world.heads(5)
    assert {(task.intent, task.model_id, task.version) for task in world.queue.tasks} == {
        (head.intent, FLAG.model_id, "scripted") for head in heads
    }
    asked = {(task.intent, text) for task in world.queue.tasks for text in task.texts}
    assert asked == {(head.intent, text) for head in heads for text in head.texts}
    assert (queued.factors, queued.users, queued.tasks) == (FACTORS.version, 5, len(world.queue.tasks))
    assert queued.usd_at_most > 0


def test_what_is_judged_or_queued_already_is_left_alone() -> None:
    """An event that comes twice queues nothing twice, and what a request has had judged is not asked again."""
    world = World()
    head = world.heads(1)[0]
    scores = {entry_key(text): 5 for text in head.texts}
    key = record_key(head.intent, FLAG.model_id, "scripted")
    world.cache.write(key, ScoreRecord(scores, int(world.clock.now()) + 60))
    first = queue_active(world.warmup, 5, world.queue)
    assert head.intent not in {task.intent for task in world.queue.tasks}
    second = queue_active(world.warmup, 5, world.queue)
    assert (second.tasks, second.claimed) == (0, len({task.intent for task in world.queue.tasks}))
    assert len(world.queue.tasks) == first.tasks


def test_while_nobody_is_treated_nothing_is_queued() -> None:
    """It says why."""
    world = World(FlagDocument())
    queued = queue_active(world.warmup, 5, world.queue)
    assert (queued.tasks, queued.left_out) == (0, {"disabled": 5})
    assert world.queue.tasks == []


def test_a_queue_that_refuses_fails_the_attempt_and_not_the_next() -> None:
    """Lambda tries again, and finds no intent claimed by the attempt that failed."""
    world = World()
    world.queue.broken = True
    with pytest.raises(QueueUnavailable):
        queue_active(world.warmup, 5, world.queue)
    world.queue.broken = False
    assert queue_active(world.warmup, 5, world.queue).claimed == 0
