"""The LLM over Converse: what is sent, what is understood, and every error by its name."""

import json
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import orjson
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import validate_parameters

from flagrank.adapters.aws_clients import MAX_CLIENTS
from flagrank.adapters.bedrock_errors import translated
from flagrank.adapters.bedrock_llm import BedrockLLM
from flagrank.errors import LLMRejected, LLMThrottled, LLMUnavailable, RerankError, RerankTimeout, UnknownRerankError
from flagrank.ports import Prompt
from flagrank.rerank.answers import VERBOSE
from flagrank.rerank.model_forms import STEPS_DOWN
from flagrank.rerank.prompting import estimate_input_tokens
from tests.adapters.loopback import Answer, Call, Loopback, client, converse_answer

PROMPT = Prompt(system="judge", user="these items", size=2, schema=VERBOSE.schema)
MODEL = "eu.amazon.nova-lite-v1:0"
LATENCIES = ("standard", "optimized")
TIERS = ("default", "priority", "flex")


@pytest.fixture(scope="module")
def converse() -> Iterator[Any]:
    """The operation as botocore's service model has it."""
    made = client("bedrock-runtime", "http://127.0.0.1:9")
    yield made.meta.service_model.operation_model("Converse")
    made.close()


def no_client(timeout_ms: int) -> Any:
    raise AssertionError("no client is needed for this")


def enums_out_of_range(shape: Any, value: Any) -> list[str]:
    """The values that are none of their shape's: botocore's own validation does not look at enums."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        members = ((shape.members[name], part) for name, part in value.items())
        return [wrong for member, part in members for wrong in enums_out_of_range(member, part)]
    if shape.type_name == "list":
        return [wrong for part in value for wrong in enums_out_of_range(shape.member, part)]
    return [value] if getattr(shape, "enum", None) and value not in shape.enum else []


@pytest.mark.parametrize("output", STEPS_DOWN)
@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("tier", TIERS)
def test_every_request_that_can_be_configured_fits_the_service_model(
    converse: Any, output: Any, latency: Any, tier: Any
) -> None:
    """Names, types, required members and enums are those of the Converse API."""
    llm = BedrockLLM(no_client, latency=latency, service_tier=tier)
    request = llm.request(PROMPT, MODEL, 200, output)
    validate_parameters(request, converse.input_shape)
    assert enums_out_of_range(converse.input_shape, request) == []


def test_a_value_outside_an_enum_would_be_noticed(converse: Any) -> None:
    """The check above is able to fail."""
    llm = BedrockLLM(no_client, service_tier="express")  # type: ignore[arg-type]
    assert enums_out_of_range(converse.input_shape, llm.request(PROMPT, "m", 200, "plain")) == ["express"]


def test_the_native_path_sends_the_static_schema_as_text() -> None:
    """`schema` is a string in the service model, and the same one for every request."""
    request = BedrockLLM(no_client).request(PROMPT, "m", 200, "json_schema")
    schema = request["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
    assert orjson.loads(schema) == VERBOSE.schema
    assert "toolConfig" not in request


def test_the_tool_path_forces_the_one_tool_with_the_same_schema() -> None:
    """The model has no choice but to answer through it."""
    request = BedrockLLM(no_client).request(PROMPT, "m", 200, "tool_use")
    spec = request["toolConfig"]["tools"][0]["toolSpec"]
    assert spec["inputSchema"]["json"] == VERBOSE.schema
    assert request["toolConfig"]["toolChoice"] == {"tool": {"name": spec["name"]}}
    assert "outputConfig" not in request


def test_tiers_are_sent_only_when_asked_for() -> None:
    """A model that knows neither optimised latency nor tiers is not sent the members."""
    request = BedrockLLM(no_client).request(PROMPT, "m", 200, "plain")
    assert request.keys().isdisjoint({"performanceConfig", "serviceTier"})


def test_output_is_capped_and_unsampled() -> None:
    """An unset cap reserves many times the quota; scores are not to be sampled."""
    request = BedrockLLM(no_client).request(PROMPT, "m", 200, "plain")
    assert request["inferenceConfig"] == {"maxTokens": 200, "temperature": 0.0}


def error_of(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Converse")


def leaf_of(error: Exception) -> type[RerankError]:
    with pytest.raises(RerankError) as caught, translated():
        raise error
    assert caught.value.__cause__ is error
    return type(caught.value)


def test_no_error_of_the_operation_is_unmapped(converse: Any) -> None:
    """Each exception in the service model has a leaf of its own choosing, and none is `unknown`."""
    leaves = {
        shape.name: leaf_of(error_of(shape.name, shape.metadata["error"]["httpStatusCode"]))
        for shape in converse.error_shapes
    }
    assert leaves == {
        "AccessDeniedException": LLMRejected,
        "ThrottlingException": LLMThrottled,
        "ResourceNotFoundException": LLMRejected,
        "ModelTimeoutException": RerankTimeout,
        "InternalServerException": LLMUnavailable,
        "ServiceUnavailableException": LLMUnavailable,
        "ValidationException": LLMRejected,
        "ModelNotReadyException": LLMThrottled,
        "ModelErrorException": LLMUnavailable,
    }


@pytest.mark.parametrize(
    ("code", "status", "leaf"),
    [
        ("ServiceQuotaExceededException", 400, LLMThrottled),
        ("TooManyRequestsException", 429, LLMThrottled),
        ("ExpiredTokenException", 403, LLMRejected),
        ("UnrecognizedClientException", 403, LLMRejected),
        ("502", 502, LLMUnavailable),
        ("504", 504, LLMUnavailable),
        ("SomethingNew", 418, UnknownRerankError),
    ],
)
def test_an_error_outside_the_model_goes_by_its_status(code: str, status: int, leaf: type[RerankError]) -> None:
    """Gateways and credentials answer without a modelled exception; what is left over is unknown, and alarmed on."""
    assert leaf_of(error_of(code, status)) is leaf


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        (botocore.exceptions.ReadTimeoutError(endpoint_url="x"), RerankTimeout),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url="x"), RerankTimeout),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="x"), LLMUnavailable),
        (botocore.exceptions.ConnectionClosedError(endpoint_url="x"), LLMUnavailable),
        (botocore.exceptions.SSLError(endpoint_url="x", error="y"), LLMUnavailable),
        (botocore.exceptions.NoCredentialsError(), LLMUnavailable),
        (ParamValidationError(report="x"), LLMRejected),
        (KeyError("usage"), UnknownRerankError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_errors_of_the_way_there_have_their_leaves(error: Exception, leaf: type[RerankError]) -> None:
    """A timeout is no outage, an outage is no rejection, and a bug is none of them."""
    assert leaf_of(error) is leaf


def test_an_error_that_is_named_already_keeps_its_name() -> None:
    """A leaf passes through untouched."""
    original = LLMThrottled("already")
    with pytest.raises(LLMThrottled) as caught, translated():
        raise original
    assert caught.value is original


@pytest.fixture
def model() -> Iterator[Loopback]:
    with Loopback(lambda call: converse_answer([{"text": "{}"}])) as server:
        yield server


def llm_of(server: Loopback) -> BedrockLLM:
    return BedrockLLM(lambda timeout_ms: client("bedrock-runtime", server.url, read_timeout_s=timeout_ms / 1000))


def complete(llm: BedrockLLM, timeout_ms: int = 2000) -> Any:
    return llm.complete(PROMPT, model_id="eu.amazon.nova-lite-v1:0", max_output_tokens=200, timeout_ms=timeout_ms)


def answering(*content: dict[str, Any]) -> Any:
    def respond(call: Call) -> Answer:
        return converse_answer(list(content))

    return respond


def test_reasoning_blocks_are_not_the_answer(model: Loopback) -> None:
    """A thinking model's first block is left out of the text."""
    thought = {"reasoningContent": {"reasoningText": {"text": "{'items': 'perhaps'}"}}}
    model.respond = answering(thought, {"text": '{"items": []}'})
    assert complete(llm_of(model)).text == '{"items": []}'


def test_an_answer_without_content_is_an_empty_text(model: Loopback) -> None:
    """It is the parser's to reject, and its tokens are still counted."""
    model.respond = answering()
    completion = complete(llm_of(model))
    assert (completion.text, completion.input_tokens) == ("", 11)


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"output": {}}'])
def test_an_answer_that_is_none_of_the_api_s_is_unknown(model: Loopback, body: bytes) -> None:
    """A 200 without the API's members is a failure nobody foresaw."""
    model.respond = lambda call: Answer(200, body)
    with pytest.raises(UnknownRerankError):
        complete(llm_of(model))


def test_a_service_that_is_gone_is_unavailable(model: Loopback) -> None:
    """A refused connection is LLMUnavailable."""
    llm = llm_of(model)
    complete(llm)
    model.close()
    with pytest.raises(LLMUnavailable):
        complete(llm)


def test_a_call_is_made_once(model: Loopback) -> None:
    """No retry multiplies the timeout or the bill."""
    model.respond = lambda call: Answer(503)
    with pytest.raises(LLMUnavailable):
        complete(llm_of(model))
    assert len(model.calls) == 1


def test_a_model_s_arn_travels_in_the_path(model: Loopback) -> None:
    """The id is quoted, so that a slash in it is no path."""
    arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
    llm_of(model).complete(PROMPT, model_id=arn, max_output_tokens=10, timeout_ms=2000)
    assert model.calls[0].path == f"/model/{arn.replace(':', '%3A').replace('/', '%2F')}/converse"


def test_clients_are_kept_by_timeout_and_few(model: Loopback) -> None:
    """A timeout in use makes no second client; many changes of the flag do not pile clients up."""
    made: list[int] = []

    def client_for(timeout_ms: int) -> Any:
        made.append(timeout_ms)
        return client("bedrock-runtime", model.url)

    llm = BedrockLLM(client_for)
    timeouts_ms = list(range(100, 100 + MAX_CLIENTS + 1))
    for timeout_ms in (*timeouts_ms, timeouts_ms[-1], timeouts_ms[0]):
        complete(llm, timeout_ms)
    assert made == [*timeouts_ms, timeouts_ms[0]]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"inputTokens": -1000, "outputTokens": -1000},
        {"inputTokens": 10**20, "outputTokens": 10**20},
    ],
    ids=["none", "empty", "negative", "endless"],
)
def test_usage_that_nobody_can_have_had_is_estimated(model: Loopback, usage: object) -> None:
    """The answer is used, and is billed with the prompt's estimate and the output's cap."""
    body = orjson.loads(converse_answer([{"text": "{}"}]).body)
    del body["usage"]
    if usage is not None:
        body["usage"] = usage
    model.respond = lambda call: Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
    completion = complete(llm_of(model))
    assert completion.text == "{}"
    assert (completion.input_tokens, completion.output_tokens) == (estimate_input_tokens(PROMPT), 200)
