"""The Bedrock stand-in, asked by the real adapter with the real prompt."""

from dataclasses import replace
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from flagrank.adapters.bedrock_llm import BedrockLLM
from flagrank.adapters.bedrock_rerank import BedrockRerank
from flagrank.errors import CutOffAnswer, LLMRejected, LLMThrottled, RerankError, RerankTimeout
from flagrank.local.bedrock import LLMBehaviour, create_app
from flagrank.offline.evaluation.llm_simulators import simulate_by_words
from flagrank.rerank.answers import COMPACT
from flagrank.rerank.parsing import parse_answer
from flagrank.rerank.prompting import build_prompt
from tests.local.conftest import Serve

FLAWLESS = LLMBehaviour(latency_ms=0, ms_per_input_token=0, ms_per_output_token=0, malformed=0)
TEXTS = ["cadmo wireless headset audio calls", "esker steel pan kitchen soup", "juno wireless mouse office work"]
PROMPT = build_prompt("wireless headset work calls", TEXTS, COMPACT)


def client(url: str, timeout_ms: int = 2000) -> Any:
    config = Config(read_timeout=timeout_ms / 1000, retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", config=config, **keys)


def llm(url: str, **options: Any) -> BedrockLLM:
    return BedrockLLM(lambda timeout_ms: client(url, timeout_ms), **options)


def ask(model: BedrockLLM, timeout_ms: int = 2000) -> dict[int, int]:
    completion = model.complete(PROMPT, model_id="m", max_output_tokens=200, timeout_ms=timeout_ms)
    return parse_answer(completion, PROMPT.size, COMPACT)


@pytest.mark.parametrize("structured_output", ["json_schema", "tool_use"])
def test_it_judges_by_the_words_of_the_prompt(serve: Serve, structured_output: str) -> None:
    """Both ways to structured output give the same judgement: the headset first, the pan last."""
    scores = ask(llm(serve(create_app(FLAWLESS)), structured_output=structured_output))
    assert scores[0] > scores[2] > scores[1]


def test_the_same_prompt_has_the_same_judgement() -> None:
    """The brain throws no dice."""
    assert simulate_by_words(PROMPT.user) == simulate_by_words(PROMPT.user)
    assert simulate_by_words("no fence here") is None


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [({"throttled": 1.0}, LLMThrottled), ({"cut_off": 1.0}, CutOffAnswer), ({"hang": 1.0}, RerankTimeout)],
)
def test_it_fails_as_it_is_told_to(serve: Serve, behaviour: dict[str, float], error: type[RerankError]) -> None:
    """Each fault reaches the caller as the service's own kind of failure."""
    url = serve(create_app(FLAWLESS))
    httpx.put(url + "/_behaviour", json=behaviour)
    with pytest.raises(error):
        ask(llm(url), timeout_ms=300)


def test_malformed_answers_are_of_several_kinds_and_none_can_be_used(serve: Serve) -> None:
    """Prose, broken JSON, wrong types and ranges, nothing at all."""
    url = serve(create_app(replace(FLAWLESS, malformed=1.0)))
    model = llm(url)
    texts = {model.complete(PROMPT, model_id="m", max_output_tokens=9, timeout_ms=2000).text for _ in range(40)}
    assert len(texts) == 5
    for _ in range(20):
        with pytest.raises(RerankError):
            ask(model)
    assert httpx.get(url + "/_statistics").json()["malformed"] == 60


def test_it_refuses_what_the_service_would_refuse(serve: Serve) -> None:
    """A request without messages or with unknown members is a ValidationException."""
    url = serve(create_app(FLAWLESS))
    with pytest.raises(ClientError) as caught:
        client(url).converse(modelId="m", messages=[])
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    answer = httpx.post(url + "/model/m/converse", json={"messages": [{}], "temperature": 0})
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (400, "ValidationException")


def test_its_behaviour_can_be_read(serve: Serve) -> None:
    """What is in force is no secret."""
    assert httpx.get(serve(create_app(FLAWLESS)) + "/_behaviour").json()["latency_ms"] == 0


def test_a_model_that_refuses_a_schema_is_asked_with_less_and_remembered(serve: Serve) -> None:
    """One refused call is repeated one step down; later calls begin there."""
    url = serve(create_app(replace(FLAWLESS, refuses=("outputConfig",))))
    model = llm(url, structured_output="json_schema")
    assert ask(model)[0] > 0
    assert ask(model)[0] > 0
    statistics = httpx.get(url + "/_statistics").json()
    assert (statistics["calls"], statistics["texts"], statistics["refused"]) == (2, 6, 1)


def test_a_model_that_refuses_everything_is_rejected(serve: Serve) -> None:
    """What is invalid for another reason stays a rejection under its own name."""
    url = serve(create_app(replace(FLAWLESS, refuses=("messages",))))
    with pytest.raises(LLMRejected):
        ask(llm(url))


def rerank_client(url: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    config = Config(read_timeout=0.5, retries={"total_max_attempts": 1})
    return boto3.client("bedrock-agent-runtime", endpoint_url=url, region_name="us-east-1", config=config, **keys)


def test_it_reranks_by_the_words_of_the_query(serve: Serve) -> None:
    """The headset first, the pan last, each score a probability."""
    url = serve(create_app(FLAWLESS))
    adapter = BedrockRerank(lambda timeout_ms: rerank_client(url))
    scored = adapter.rerank("wireless headset", TEXTS, model_id="rerank:cohere.rerank-v3-5:0", timeout_ms=500)
    assert [index for index, _ in scored] == [0, 2, 1]
    assert all(0 < score < 1 for _, score in scored)


@pytest.mark.parametrize(
    ("behaviour", "model_id", "error"),
    [
        ({"throttled": 1.0}, "rerank:cohere.rerank-v3-5:0", LLMThrottled),
        ({"hang": 1.0}, "rerank:cohere.rerank-v3-5:0", RerankTimeout),
        ({}, "rerank:amazon.nova-lite-v1:0", LLMRejected),
    ],
)
def test_a_rerank_fails_as_the_service_does(
    serve: Serve, behaviour: dict[str, Any], model_id: str, error: type[RerankError]
) -> None:
    """Throttled, late, or asked of a model that is no rerank model."""
    url = serve(create_app(replace(FLAWLESS, **behaviour)))
    with pytest.raises(error):
        BedrockRerank(lambda timeout_ms: rerank_client(url)).rerank("q", TEXTS, model_id=model_id, timeout_ms=500)
