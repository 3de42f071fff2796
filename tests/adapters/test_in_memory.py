"""What the in-memory adapters have beyond their contracts."""

import pytest

from flagrank.adapters.in_memory import InlineExecutor, InMemoryScoreCache, ManualClock, ScriptedLLM
from flagrank.errors import CacheUnavailable
from flagrank.ports import Completion, Prompt, ScoreRecord


def test_an_inline_executor_hands_errors_over_like_a_thread_pool() -> None:
    """They surface at `result`, and not at `submit`."""
    future = InlineExecutor().submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        future.result()


def test_a_broken_cache_fails_every_call() -> None:
    """An outage can be played in all three operations."""
    cache = InMemoryScoreCache(ManualClock())
    cache.broken = True
    for call in (
        lambda: cache.read("key", "2027-01-15"),
        lambda: cache.write("key", ScoreRecord({}, 0)),
        lambda: cache.reserve_spend("2027-01-15", 1, 10**18),
    ):
        with pytest.raises(CacheUnavailable):
            call()


def test_a_scripted_llm_keeps_what_it_was_asked() -> None:
    """Tests can look at the prompts that were sent."""
    llm = ScriptedLLM(lambda prompt: Completion("{}", "end_turn", 1, 1))
    prompt = Prompt("system", "user", 1, schema={})
    llm.complete(prompt, model_id="m", max_output_tokens=1, timeout_ms=1)
    assert llm.prompts == [prompt]
