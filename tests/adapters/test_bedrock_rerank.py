"""Rerank models over Bedrock: what is sent, and every error by its name."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from flagrank.adapters.bedrock_errors import translated
from flagrank.adapters.bedrock_rerank import BedrockRerank, request
from flagrank.errors import LLMRejected, LLMThrottled, LLMUnavailable, RerankError
from tests.adapters.loopback import REGION, Answer, Loopback, client

ARN = f"arn:aws:bedrock:{REGION}::foundation-model/cohere.rerank-v3-5:0"


@pytest.fixture(scope="module")
def operation() -> Iterator[Any]:
    """The operation as botocore's service model has it."""
    made = client("bedrock-agent-runtime", "http://127.0.0.1:9")
    yield made.meta.service_model.operation_model("Rerank")
    made.close()


def test_the_request_fits_the_service_model(operation: Any) -> None:
    """For as many texts as a head can have."""
    validate_parameters(request("quiet headset", ["text"] * 100, ARN), operation.input_shape)


def test_no_error_of_the_operation_is_unmapped(operation: Any) -> None:
    """Each exception in the service model has a leaf of our choosing, and none is `unknown`."""
    leaves: dict[str, type[RerankError]] = {}
    for shape in operation.error_shapes:
        status = shape.metadata["error"]["httpStatusCode"]
        error = ClientError({"Error": {"Code": shape.name}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Rerank")
        with pytest.raises(RerankError) as caught, translated():
            raise error
        leaves[shape.name] = type(caught.value)
    assert leaves == {
        "ResourceNotFoundException": LLMRejected,
        "ConflictException": LLMRejected,
        "ValidationException": LLMRejected,
        "InternalServerException": LLMUnavailable,
        "DependencyFailedException": LLMUnavailable,
        "BadGatewayException": LLMUnavailable,
        "ThrottlingException": LLMThrottled,
        "AccessDeniedException": LLMRejected,
        "ServiceQuotaExceededException": LLMThrottled,
    }


@pytest.mark.parametrize(("name", "arn"), [("cohere.rerank-v3-5:0", ARN), (ARN, ARN)])
def test_a_model_is_named_by_its_arn(name: str, arn: str) -> None:
    """The API takes nothing else, and the flag may hold the short id."""
    body = orjson.dumps({"results": [{"index": 1, "relevanceScore": 0.5}]})
    with Loopback(lambda call: Answer(200, body, {"Content-Type": "application/json"})) as server:
        rerank = BedrockRerank(lambda timeout_ms: client("bedrock-agent-runtime", server.url))
        scored = rerank.rerank("q", ["a", "b"], model_id=f"rerank:{name}", timeout_ms=2000)
        sent = orjson.loads(server.calls[0].body)
    assert list(scored) == [(1, 0.5)]
    configuration = sent["rerankingConfiguration"]["bedrockRerankingConfiguration"]
    assert configuration == {"modelConfiguration": {"modelArn": arn}, "numberOfResults": 2}
