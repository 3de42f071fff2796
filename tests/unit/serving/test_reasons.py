"""Every reason of the closed list is one that a request can be served for: none is dead, and none is missing here."""

import json
from collections.abc import Callable, Mapping

import pytest

from flagrank.domain import Reason
from flagrank.errors import LLMRejected, LLMThrottled, LLMUnavailable, RerankTimeout
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, Prompt
from tests.factories import make_factors
from tests.wiring import Wired, completion_of

TREATED = FlagDocument(enabled=True, percent=100, alpha=0.0)
QUERY = "wireless"

type Scenario = Callable[[], Reason]


def under(query: str | None = QUERY, user_id: int = 1, **changes: object) -> Scenario:
    """One request under a flag document with these changes."""
    return lambda: Wired(TREATED.model_copy(update=changes)).recommend(user_id, query=query).reason


def failing(error: Exception) -> Scenario:
    """One request whose LLM fails so."""

    def fail(prompt: Prompt) -> Completion:
        raise error

    return lambda: Wired(TREATED, fail).recommend(query=QUERY).reason


def saying(say: Callable[[Prompt], Completion]) -> Scenario:
    """One request whose LLM says this."""
    return lambda: Wired(TREATED, say).recommend(query=QUERY).reason


def half_judged(prompt: Prompt) -> Completion:
    """Fewer than half of the items."""
    entries = [90 if place < 2 else "?" for place in range(prompt.size)]
    return Completion(json.dumps({"scores": entries}), "end_turn", 1, 1)


def after_failures() -> Reason:
    """The request after so many that failed."""

    def fail(prompt: Prompt) -> Completion:
        raise LLMUnavailable("down")

    wired = Wired(TREATED, fail)
    return [wired.recommend(query=QUERY).reason for _ in range(9)][-1]


def without_cache() -> Reason:
    """One request whose scores cannot be read."""
    wired = Wired(TREATED)
    wired.cache.broken = True
    return wired.recommend(query=QUERY).reason


SCENARIOS: Mapping[Reason, Scenario] = {
    Reason.NOT_CONFIGURED: lambda: Wired(None).recommend(query=QUERY).reason,
    Reason.DISABLED: under(enabled=False),
    Reason.DENY: under(deny=("1",)),
    Reason.ALLOW: under(percent=0.0, allow=("1",)),
    Reason.SPLIT: under(),
    Reason.SHADOW: under(mode="shadow"),
    Reason.NO_INTENT: under(query=None, user_id=999),
    Reason.NOTHING_TO_RERANK: lambda: Wired(TREATED, factors=make_factors(items=1)).recommend(999, query=QUERY).reason,
    Reason.ALPHA_ONE: under(alpha=1.0),
    Reason.GATED: under(query=None, gate=True, gate_sparse_below=0),
    Reason.WARMING: under(path="async"),
    Reason.BUDGET: under(max_input_tokens=200),
    Reason.BREAKER_OPEN: after_failures,
    Reason.COST_CAP: under(daily_usd_cap=0.0),
    Reason.TIMEOUT: failing(RerankTimeout("late")),
    Reason.THROTTLED: failing(LLMThrottled("too many")),
    Reason.LLM_REJECTED: failing(LLMRejected("no")),
    Reason.LLM_UNAVAILABLE: failing(LLMUnavailable("down")),
    Reason.PARSE: saying(lambda prompt: Completion("no idea", "end_turn", 1, 1)),
    Reason.CUT_OFF: saying(lambda prompt: Completion('{"scores": [', "max_tokens", 1, 1)),
    Reason.LOW_COVERAGE: saying(half_judged),
    Reason.ALL_TIED: saying(lambda prompt: completion_of([50] * prompt.size)),
    Reason.CACHE: without_cache,
    Reason.UNKNOWN: failing(RuntimeError("a bug")),
}


@pytest.mark.parametrize("reason", Reason)
def test_a_request_can_be_served_for_it(reason: Reason) -> None:
    """One request, or a few, that ends with this reason."""
    assert SCENARIOS[reason]() is reason
