"""An LLM that drips, over the whole pipeline: it costs its own calls, and nothing else."""

import pytest

from flagrank.adapters import aws_clients
from flagrank.adapters.bedrock_llm import BedrockLLM
from flagrank.adapters.in_memory import (
    InMemoryFactorStore,
    InMemoryFlagSource,
    InMemoryJudgementQueue,
    InMemoryMetrics,
    InMemoryScoreCache,
    ScriptedLLM,
)
from flagrank.adapters.system_clock import SystemClock
from flagrank.bootstrap import Adapters, Models, wire
from flagrank.domain import Mode, Reason, RecommendRequest
from flagrank.flags.document import FlagDocument
from flagrank.rerank.breaker import FAILURES_TO_OPEN
from flagrank.settings import Settings
from tests.adapters.loopback import DRIPPED_HEADS, Dripping
from tests.factories import make_factors
from tests.wiring import ENVIRONMENT, by_item_number

PATIENT = FlagDocument(enabled=True, percent=100, alpha=0.0, request_budget_ms=20_000, call_budget_ms=10_000)
HURRIED = PATIENT.model_copy(update={"request_budget_ms": 900, "call_budget_ms": 400})


@pytest.mark.slow
def test_an_llm_that_drips_opens_its_breaker_and_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fallback says that the LLM was late, and never that the cache was; what is cached is served throughout."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    clock = SystemClock()
    good = ScriptedLLM(by_item_number)
    cache = InMemoryScoreCache(clock)
    with Dripping(*DRIPPED_HEADS.values()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        dripping = BedrockLLM(lambda timeout_ms: aws_clients.bedrock_client(timeout_ms, 20))
        services = [
            wire(
                Settings.from_env(ENVIRONMENT),
                Adapters(
                    InMemoryFactorStore(make_factors(items=200)),
                    InMemoryFlagSource(flag),
                    cache,
                    Models(llm),
                    InMemoryJudgementQueue(),
                    InMemoryMetrics(),
                ),
                clock,
            )
            for llm, flag in ((good, PATIENT), (dripping, HURRIED))
        ]
        services[0].recommend(RecommendRequest(1, query="wireless"))
        reasons = []
        for number in range(FAILURES_TO_OPEN + 3):
            reasons.append(services[1].recommend(RecommendRequest(1, query=f"steel {number}")).reason)
            assert services[1].recommend(RecommendRequest(1, query="wireless")).mode is Mode.HYBRID_RERANK
    assert reasons == [Reason.TIMEOUT] * FAILURES_TO_OPEN + [Reason.BREAKER_OPEN] * 3
