"""Threads: a service that hangs holds its own, and nobody else's."""

import threading

from flagrank.domain import Mode, Reason
from flagrank.errors import LLMUnavailable
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, Prompt
from tests.wiring import Wired, by_item_number

PATIENT = FlagDocument(enabled=True, percent=100, alpha=0.0, request_budget_ms=20_000, call_budget_ms=10_000)
HURRIED = PATIENT.model_copy(update={"request_budget_ms": 400, "call_budget_ms": 300})


def test_a_model_that_never_returns_holds_no_thread_of_the_cache() -> None:
    """When every thread of the LLM hangs, what is cached is served, and the reason is the LLM's."""
    is_hanging, is_over = threading.Event(), threading.Event()

    def answer(prompt: Prompt) -> Completion:
        if is_hanging.is_set():
            is_over.wait(30)
            raise LLMUnavailable("over")
        return by_item_number(prompt)

    wired = Wired(PATIENT, answer)
    wired.recommend(query="wireless")
    wired.flags.document = HURRIED
    is_hanging.set()
    reasons = {wired.recommend(query=f"steel {number}").reason for number in range(4)}
    wired.flags.document = PATIENT
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK
    is_over.set()
    assert reasons <= {Reason.TIMEOUT, Reason.BREAKER_OPEN}
