"""Tasks that are handed over behind the requests."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from flagrank.adapters.in_memory import InlineExecutor, InMemoryJudgementQueue, InMemoryScoreCache, ManualClock
from flagrank.ports import JudgementTask
from flagrank.rerank.handoff import CLAIM_S, MAX_WAITING, REMEMBERED_S, Handoff, HandoffCounts
from flagrank.rerank.records import record_key


class Later(Executor):
    """Runs what was submitted when it is told to: threads that a frozen environment has stopped."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], Any]] = []

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future that nobody waits for."""
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def run(self) -> None:
        """Runs all that waits."""
        while self.waiting:
            self.waiting.pop(0)()


class World:
    """One cache and one queue, and any number of environments."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.cache = InMemoryScoreCache(self.clock)
        self.queue = InMemoryJudgementQueue()

    def environment(self, executor: Executor | None = None) -> Handoff:
        """One more environment."""
        return Handoff(self.cache, self.queue, self.clock, executor or InlineExecutor())


def ask(environment: Handoff, task: JudgementTask) -> None:
    """One request that offers a task."""
    environment.offer(task)
    environment.start()


def task_of(intent: str, *texts: str) -> JudgementTask:
    return JudgementTask(intent, "some.model", "listwise-1", texts or ("a", "b"))


def key_of(intent: str) -> str:
    return record_key(intent, "some.model", "listwise-1")


def test_one_of_many_environments_enqueues_an_intent() -> None:
    """Identical requests at once are one task."""
    world = World()
    environments = [world.environment() for _ in range(8)]
    for environment in environments * 3:
        ask(environment, task_of("red shoes"))
    assert world.queue.tasks == [task_of("red shoes")]
    assert sum(environment.drain().sent for environment in environments) == 1


def test_another_intent_is_another_task() -> None:
    """Neither the claim nor the memory of one stands in the way of the other."""
    world = World()
    environment = world.environment()
    for intent in ("red shoes", "blue hats"):
        ask(environment, task_of(intent))
    assert [task.intent for task in world.queue.tasks] == ["red shoes", "blue hats"]


def test_what_is_still_missing_is_enqueued_once_the_worker_is_done() -> None:
    """The claim is the intent's: while it lasts, other texts wait, and afterwards they go alone."""
    world = World()
    environment = world.environment()
    ask(environment, task_of("red shoes", "a", "b"))
    ask(environment, task_of("red shoes", "c"))
    assert len(world.queue.tasks) == 1
    world.cache.release(key_of("red shoes"))
    world.clock.advance(REMEMBERED_S)
    ask(environment, task_of("red shoes", "c"))
    assert [task.texts for task in world.queue.tasks] == [("a", "b"), ("c",)]


def test_a_lost_task_is_only_late() -> None:
    """Once the claim has lapsed the next request enqueues the intent again."""
    world = World()
    ask(world.environment(), task_of("red shoes"))
    world.queue.bodies.clear()
    world.clock.advance(CLAIM_S)
    ask(world.environment(), task_of("red shoes"))
    assert len(world.queue.tasks) == 1


def test_an_environment_does_not_ask_for_a_claim_again_and_again() -> None:
    """What it has just asked about is settled for a few seconds."""
    world = World()
    environment, claims = world.environment(), 0
    claim = world.cache.claim

    def counted(key: str, seconds: int) -> bool:
        nonlocal claims
        claims += 1
        return claim(key, seconds)

    world.cache.claim = counted  # type: ignore[method-assign]
    for _ in range(50):
        ask(environment, task_of("red shoes"))
    assert claims == 1
    world.clock.advance(REMEMBERED_S)
    ask(environment, task_of("red shoes"))
    assert claims == 2


def test_nothing_is_asked_while_the_request_waits() -> None:
    """Claim and queue are asked on the executor alone, and not before the request's own work is done."""
    world, later = World(), Later()
    environment = world.environment(later)
    environment.offer(task_of("red shoes"))
    later.run()
    assert world.queue.tasks == []
    environment.start()
    assert world.queue.tasks == []
    later.run()
    assert world.queue.tasks == [task_of("red shoes")]


def test_a_queue_that_fails_is_counted_and_raises_nothing() -> None:
    """So is a cache that cannot be asked for the claim."""
    world = World()
    environment = world.environment()
    world.queue.broken = True
    ask(environment, task_of("red shoes"))
    world.cache.broken = True
    ask(environment, task_of("blue hats"))
    assert environment.drain() == HandoffCounts(sent=0, failed=2)
    assert environment.drain() == HandoffCounts()


def test_a_full_backlog_drops_tasks_and_counts_them() -> None:
    """An environment whose queue hangs does not fill its memory."""
    world, later = World(), Later()
    environment = world.environment(later)
    for number in range(MAX_WAITING + 3):
        ask(environment, task_of(f"intent {number}"))
    assert len(later.waiting) == MAX_WAITING
    later.run()
    assert environment.drain() == HandoffCounts(sent=MAX_WAITING, failed=3)
