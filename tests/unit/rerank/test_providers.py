"""Which provider a model id names, what it costs, and what becomes of one that is not configured."""

import pytest

from flagrank.adapters.in_memory import ManualClock, ScriptedJudge
from flagrank.domain import Mode, Reason
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName
from flagrank.rerank.gate import worth_asking
from flagrank.rerank.pricing import Price, cost_micro_usd
from flagrank.rerank.providers import BEDROCK, OPENAI, RERANK, name_of, provider_of
from flagrank.rerank.routing import RoutingJudge
from flagrank.timing import Deadline
from tests.wiring import Wired


@pytest.mark.parametrize(
    ("model_id", "provider", "name"),
    [
        ("amazon.nova-lite-v1:0", BEDROCK, "amazon.nova-lite-v1:0"),
        ("openai.gpt-oss-20b-1:0", BEDROCK, "openai.gpt-oss-20b-1:0"),
        ("arn:aws:bedrock:eu-west-1::foundation-model/x", BEDROCK, "arn:aws:bedrock:eu-west-1::foundation-model/x"),
        ("openai", BEDROCK, "openai"),
        ("openai:gpt-4.1-mini", OPENAI, "gpt-4.1-mini"),
        ("openai:qwen2.5:7b", OPENAI, "qwen2.5:7b"),
        ("rerank:cohere.rerank-v3-5:0", RERANK, "cohere.rerank-v3-5:0"),
        ("opnai:gpt-4.1-mini", "opnai", "gpt-4.1-mini"),
    ],
)
def test_the_word_before_the_first_colon_names_the_provider(model_id: str, provider: str, name: str) -> None:
    """Only a plain word does: Bedrock's own ids hold colons too."""
    assert (provider_of(model_id), name_of(model_id)) == (provider, name)


PRICES = {
    "*": Price(input_usd=1, output_usd=2),
    "openai:*": Price(),
    "openai:big": Price(input_usd=5),
    "rerank:*": Price(thousand_queries_usd=2),
}


@pytest.mark.parametrize(
    ("model_id", "micro_usd"),
    [("amazon.nova-lite-v1:0", 140), ("openai:small", 0), ("openai:big", 500), ("rerank:any", 6000)],
)
def test_a_model_costs_its_own_price_or_its_provider_s_or_anybody_s(model_id: str, micro_usd: int) -> None:
    """100 tokens in, 20 out, and three queries."""
    assert cost_micro_usd(PRICES, model_id, 100, 20, 3) == micro_usd


def flag_of(model_id: str, **values: object) -> FlagDocument:
    return FlagDocument.model_validate({"model_id": model_id, "enabled": True, "percent": 100.0, **values})


def test_the_flag_chooses_among_the_judges() -> None:
    """Each sees only what is its own."""
    chat, rerank = ScriptedJudge(lambda text: 1), ScriptedJudge(lambda text: 2)
    judge = RoutingJudge({BEDROCK: chat, RERANK: rerank})
    clock = ManualClock()
    for model_id, relevance in (("amazon.nova-lite-v1:0", 1), ("rerank:m", 2)):
        found = judge.judge({0: "lamp"}, "lamp", flag_of(model_id), Deadline(clock, clock.monotonic() + 1))
        assert found.relevance == {0: relevance}


@pytest.mark.parametrize("model_id", ["openai:m", "rerank:m"])
def test_a_provider_that_is_not_configured_is_refused_and_counted(model_id: str) -> None:
    """The request is answered with the baseline and the reason, and the metric shows how many were."""
    wired = Wired(flag_of(model_id))
    answer = wired.recommend(query="quiet audio")
    assert (answer.mode, answer.reason) == (Mode.FALLBACK_BASELINE, Reason.LLM_REJECTED)
    (_, values, _) = wired.metrics.records[-1]
    assert values[MetricName.LLM_REJECTED] == 1
    assert wired.llm.prompts == []


@pytest.mark.parametrize(
    ("model_id", "profiles", "has_query", "asked"),
    [
        ("rerank:m", False, True, True),
        ("rerank:m", False, False, False),
        ("rerank:m", True, False, True),
        ("openai:m", False, False, True),
        ("amazon.nova-lite-v1:0", False, False, True),
    ],
)
def test_a_rerank_model_is_asked_about_queries_alone(
    model_id: str, profiles: bool, has_query: bool, asked: bool
) -> None:
    """Unless the flag asks otherwise; a chat model judges a profile as well."""
    flag = flag_of(model_id, rerank_profiles=profiles)
    assert worth_asking(flag, [], has_query=has_query, interactions=50, top_k=5) is asked
