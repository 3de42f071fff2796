"""The LLM over Bedrock's Converse API.

Structured output either natively (`outputConfig.textFormat`) or, for models without it, by a forced tool call. See
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    ParamValidationError,
    ReadTimeoutError,
)

from flagrank.errors import (
    FlagrankError,
    LLMRejected,
    LLMThrottled,
    LLMUnavailable,
    RerankError,
    RerankTimeout,
    UnknownRerankError,
)
from flagrank.ports import Completion, Prompt
from flagrank.rerank.prompting import ANSWER_SCHEMA

ANSWER_NAME = "relevance"
ANSWER_JSON_SCHEMA = json.dumps(ANSWER_SCHEMA)
MAX_CLIENTS = 4

ERRORS: Mapping[str, type[RerankError]] = {
    "AccessDeniedException": LLMRejected,
    "ResourceNotFoundException": LLMRejected,
    "ValidationException": LLMRejected,
    "ThrottlingException": LLMThrottled,
    "ServiceQuotaExceededException": LLMThrottled,
    "ModelNotReadyException": LLMThrottled,
    "ModelTimeoutException": RerankTimeout,
    "InternalServerException": LLMUnavailable,
    "ServiceUnavailableException": LLMUnavailable,
    "ModelErrorException": LLMUnavailable,
}


class BedrockLLM:
    """Converse calls with one static answer schema. `client_for` makes a client for a timeout in ms."""

    def __init__(
        self,
        client_for: Callable[[int], Any],
        *,
        structured_output: Literal["json_schema", "tool_use"] = "json_schema",
        latency: Literal["standard", "optimized"] = "standard",
        service_tier: Literal["default", "priority", "flex"] = "default",
    ) -> None:
        self._client_for = client_for
        self._structured_output = structured_output
        self._latency = latency
        self._service_tier = service_tier
        self._clients: dict[int, Any] = {}
        self._lock = threading.Lock()

    def complete(self, prompt: Prompt, *, model_id: str, max_output_tokens: int, timeout_ms: int) -> Completion:
        """One Converse call, given up after `timeout_ms`; raises the leaves of RerankError that name its failure."""
        request = self.request(prompt, model_id, max_output_tokens)
        with translated():
            answer = self._client(timeout_ms).converse(**request)
            usage = answer["usage"]
            return Completion(
                text=_text(answer["output"]["message"]["content"]),
                stop_reason=answer["stopReason"],
                input_tokens=usage["inputTokens"],
                output_tokens=usage["outputTokens"],
            )

    def request(self, prompt: Prompt, model_id: str, max_output_tokens: int) -> dict[str, Any]:
        """The Converse parameters for a prompt."""
        request: dict[str, Any] = {
            "modelId": model_id,
            "system": [{"text": prompt.system}],
            "messages": [{"role": "user", "content": [{"text": prompt.user}]}],
            "inferenceConfig": {"maxTokens": max_output_tokens, "temperature": 0.0},
        }
        if self._structured_output == "json_schema":
            schema = {"name": ANSWER_NAME, "schema": ANSWER_JSON_SCHEMA}
            request["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
        else:
            tool = {"name": ANSWER_NAME, "inputSchema": {"json": ANSWER_SCHEMA}}
            request["toolConfig"] = {"tools": [{"toolSpec": tool}], "toolChoice": {"tool": {"name": ANSWER_NAME}}}
        if self._latency != "standard":
            request["performanceConfig"] = {"latency": self._latency}
        if self._service_tier != "default":
            request["serviceTier"] = {"type": self._service_tier}
        return request

    def _client(self, timeout_ms: int) -> Any:
        # the timeout belongs to the client, so a flag that changes it needs another one; few are ever in use
        with self._lock:
            if timeout_ms not in self._clients:
                if len(self._clients) >= MAX_CLIENTS:
                    self._clients.pop(next(iter(self._clients)))
                self._clients[timeout_ms] = self._client_for(timeout_ms)
            return self._clients[timeout_ms]


@contextmanager
def translated() -> Iterator[None]:
    """Turns whatever a Converse call raises into a leaf of RerankError, an unforeseen one into UnknownRerankError."""
    try:
        yield
    except FlagrankError:
        raise
    except (ReadTimeoutError, ConnectTimeoutError) as error:
        raise RerankTimeout(str(error)) from error
    except ClientError as error:
        raise _leaf(error)(str(error)) from error
    except ParamValidationError as error:
        raise LLMRejected(str(error)) from error
    except BotoCoreError as error:
        raise LLMUnavailable(str(error)) from error
    except Exception as error:
        raise UnknownRerankError(repr(error)) from error


def _leaf(error: ClientError) -> type[RerankError]:
    known = ERRORS.get(error.response.get("Error", {}).get("Code", ""))
    if known is not None:
        return known
    # credentials that are unknown, expired or unsigned are in no operation's model, only in the status
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status in (401, 403):
        return LLMRejected
    if status == 429:
        return LLMThrottled
    return LLMUnavailable if status >= 500 else UnknownRerankError


def _text(content: list[dict[str, Any]]) -> str:
    # a thinking model puts reasoning blocks first; a forced tool call carries the answer as its input
    for block in content:
        if "toolUse" in block:
            return json.dumps(block["toolUse"]["input"])
    return "".join(block["text"] for block in content if "text" in block)
