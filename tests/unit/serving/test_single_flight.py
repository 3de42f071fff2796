"""Many identical cold requests: one asks, and the others do not wait for it."""

import threading
from concurrent.futures import ThreadPoolExecutor

from flagrank.domain import Mode, Reason
from flagrank.errors import CacheUnavailable, LLMUnavailable
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, Prompt
from tests.wiring import Wired, by_item_number, completion_of, items_of

ENVIRONMENTS = 12
REQUESTS = 100
CALLS = 6
TREATED = FlagDocument(enabled=True, percent=100, alpha=0.0, request_budget_ms=20_000, call_budget_ms=10_000)


def test_a_hundred_identical_requests_are_one_judging() -> None:
    """Over twelve environments: as many calls as one needs, and whoever comes later has its scores."""
    others, all_over = threading.Semaphore(0), threading.Event()

    def answer(prompt: Prompt) -> Completion:
        # until every other environment has answered without waiting
        all_over.wait(30)
        return by_item_number(prompt)

    first = Wired(TREATED, answer)
    fleet = [first, *(Wired(TREATED, answer, beside=first) for _ in range(ENVIRONMENTS - 1))]

    def ask(number: int) -> list[Reason]:
        count = len(range(number, REQUESTS, ENVIRONMENTS))
        reasons = [fleet[number].recommend(query="wireless").reason for _ in range(count)]
        others.release()
        return reasons

    with ThreadPoolExecutor(ENVIRONMENTS) as pool:
        asking = [pool.submit(ask, number) for number in range(ENVIRONMENTS)]
        assert all(others.acquire(timeout=30) for _ in range(ENVIRONMENTS - 1))
        all_over.set()
        reasons = [reason for each in asking for reason in each.result()]
    assert len(reasons) == REQUESTS
    assert set(reasons) == {Reason.SPLIT, Reason.WARMING}
    assert sum(len(environment.llm.prompts) for environment in fleet) == CALLS
    assert all(environment.recommend(query="wireless").mode is Mode.HYBRID_RERANK for environment in fleet)


def test_another_question_is_not_held_up() -> None:
    """The claim is on the texts that are missing for one intent."""
    wired = Wired(TREATED)
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK
    assert wired.recommend(query="steel").mode is Mode.HYBRID_RERANK
    assert wired.recommend(7, query="wireless").mode is Mode.HYBRID_RERANK


def test_where_nothing_came_the_next_request_asks() -> None:
    """A failure holds the claim no longer than its request, and its reason is its own each time."""

    def fail(prompt: Prompt) -> Completion:
        raise LLMUnavailable("told to")

    for answer, reason in (
        (fail, Reason.LLM_UNAVAILABLE),
        (lambda prompt: completion_of([50] * len(items_of(prompt))), Reason.ALL_TIED),
    ):
        wired = Wired(TREATED, answer)
        assert [wired.recommend(query="wireless").reason for _ in range(3)] == [reason] * 3


def test_what_cannot_be_claimed_is_not_asked() -> None:
    """A table that takes no claim could not keep a stampede out."""
    wired = Wired(TREATED)

    def refuse(key: str, seconds: int) -> bool:
        raise CacheUnavailable("told to")

    wired.cache.claim = refuse  # type: ignore[method-assign]
    assert wired.recommend(query="wireless").reason is Reason.CACHE
    assert wired.llm.prompts == []
