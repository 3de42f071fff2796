"""The month's bill."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.costs.bill import bill_of
from flagrank.costs.calls import calls_of
from flagrank.costs.prices import price_list
from flagrank.costs.tokens import input_tokens, output_tokens
from flagrank.costs.workload import Path, Workload

PRICES = price_list()
WORKLOAD = Workload(
    rps=10, treated=0.25, hit_rate=0.6, input_tokens_per_call=400, output_tokens_per_call=28, environments=2
)
shares = st.floats(0, 1)


def llm_usd(workload: Workload) -> float:
    return bill_of(workload, PRICES).by_service()["Bedrock"]


def test_a_thousand_treated_misses_by_hand() -> None:
    """Six calls of 400 and 28 tokens for each, at Nova Lite's price."""
    missed = replace(WORKLOAD, treated=1.0, hit_rate=0.0, path=Path.INLINE)
    by_hand = 6 * (400 * 0.06 + 28 * 0.24) / 1e6 * 1000
    assert bill_of(missed, PRICES).llm_per_thousand_treated() == pytest.approx(by_hand)


def test_a_batch_costs_half_and_queues_nothing() -> None:
    """The same texts are judged, and no worker runs."""
    assert llm_usd(replace(WORKLOAD, path=Path.PRECOMPUTED)) == pytest.approx(llm_usd(WORKLOAD) / 2)
    calls = calls_of(replace(WORKLOAD, path=Path.PRECOMPUTED), 3600)
    assert calls["lambda.warm"] == calls["sqs.SendMessage"] == 0


def test_control_alone_costs_no_llm_and_no_table() -> None:
    """Nobody is treated: neither is there a read, nor a call."""
    calls = calls_of(replace(WORKLOAD, treated=0.0), 3600)
    assert calls["dynamodb.BatchGetItem"] == calls["bedrock.Converse"] == calls["sqs.SendMessage"] == 0
    assert llm_usd(replace(WORKLOAD, treated=0.0)) == 0


def test_a_rerank_model_is_billed_by_the_query() -> None:
    """One query for a head, however many tokens its texts have."""
    cohere = replace(WORKLOAD, treated=1.0, hit_rate=0.0, model_id="rerank:cohere.rerank-v3-5:0")
    assert bill_of(cohere, PRICES).llm_per_thousand_treated() == pytest.approx(2.0)


@given(rps=st.floats(0.1, 1000), treated=shares, hit_rate=shares, path=st.sampled_from(Path))
def test_more_hits_never_cost_more(rps: float, treated: float, hit_rate: float, path: Path) -> None:
    """Nothing is dearer when the cache holds more, and no line is negative."""
    workload = replace(WORKLOAD, rps=rps, treated=treated, hit_rate=hit_rate, path=path)
    bill = bill_of(workload, PRICES)
    assert min(line.usd for line in bill.lines) >= 0
    assert bill_of(replace(workload, hit_rate=1.0), PRICES).usd <= bill.usd * (1 + 1e-9)


def test_waiting_in_the_request_is_paid_for() -> None:
    """Inline, Lambda runs while the LLM answers; asynchronously the worker does, on its own invocations."""
    inline = bill_of(replace(WORKLOAD, path=Path.INLINE, llm_ms=1000), PRICES).by_service()["Lambda"]
    assert inline > bill_of(replace(WORKLOAD, path=Path.INLINE, llm_ms=100), PRICES).by_service()["Lambda"]


def test_tokens_follow_the_prompt_and_the_answer() -> None:
    """Ten bare numbers are 25 to 36 tokens, ten entries several times as many, and a longer text costs more."""
    assert 25 <= output_tokens(10, "compact") <= 36
    assert output_tokens(10, "verbose") > 4 * output_tokens(10, "compact")
    assert input_tokens(10, 90, 40, "compact") > input_tokens(10, 60, 40, "compact") > 10 * 60 / 4
