"""The LLM over Bedrock's Converse API.

A model is held to the answer's schema natively (`outputConfig.textFormat`), by a forced tool call, or by its
instructions alone, as its family can (`rerank/model_forms.py`). See
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
"""

import json
import logging
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
from flagrank.rerank.model_forms import Constraint, family_of, step_down
from flagrank.rerank.prompting import estimate_tokens

ANSWER_NAME = "relevance"
MAX_CLIENTS = 4

logger = logging.getLogger(__name__)

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
    """Converse calls. `client_for` makes a client for a timeout in ms.

    `structured_output` is what every model is held by; None: as its family can. A model that refuses is asked again
    with one step less, which is remembered for as long as this environment lives.
    """

    def __init__(
        self,
        client_for: Callable[[int], Any],
        *,
        structured_output: Constraint | None = None,
        latency: Literal["standard", "optimized"] = "standard",
        service_tier: Literal["default", "priority", "flex"] = "default",
    ) -> None:
        self._client_for = client_for
        self._structured_output = structured_output
        self._latency = latency
        self._service_tier = service_tier
        self._constraints: dict[str, Constraint] = {}
        self._clients: dict[int, Any] = {}
        self._lock = threading.Lock()

    def complete(self, prompt: Prompt, *, model_id: str, max_output_tokens: int, timeout_ms: int) -> Completion:
        """One Converse call, given up after `timeout_ms`; raises the leaves of RerankError that name its failure.

        A call that is refused as invalid is made once more with one step less (see the class).
        """
        constraint = self._constraint(model_id)
        client = self._client(timeout_ms)
        with translated():
            try:
                answer = client.converse(**self.request(prompt, model_id, max_output_tokens, constraint))
            except client.exceptions.ValidationException:
                lower = step_down(constraint)
                if lower is None:
                    raise
                answer = client.converse(**self.request(prompt, model_id, max_output_tokens, lower))
                # only what was taken is remembered: the request may be invalid for another reason
                self._constraints[model_id] = lower
                logger.warning("%s refuses %s; asking it by %s from now on", model_id, constraint, lower)
            return completion_of(answer)

    def request(self, prompt: Prompt, model_id: str, max_output_tokens: int, constraint: Constraint) -> dict[str, Any]:
        """The Converse parameters for a prompt."""
        request = {"modelId": model_id, **plain_body(prompt, model_id, max_output_tokens)}
        if constraint == "json_schema":
            schema = {"name": ANSWER_NAME, "schema": json.dumps(prompt.schema)}
            request["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
        elif constraint == "tool_use":
            tool = {"name": ANSWER_NAME, "inputSchema": {"json": dict(prompt.schema)}}
            request["toolConfig"] = {"tools": [{"toolSpec": tool}], "toolChoice": {"tool": {"name": ANSWER_NAME}}}
        if self._latency != "standard":
            request["performanceConfig"] = {"latency": self._latency}
        if self._service_tier != "default":
            request["serviceTier"] = {"type": self._service_tier}
        return request

    def _constraint(self, model_id: str) -> Constraint:
        remembered = self._constraints.get(model_id)
        return remembered or self._structured_output or family_of(model_id).constraint

    def _client(self, timeout_ms: int) -> Any:
        # the timeout belongs to the client, so a flag that changes it needs another one; few are ever in use
        with self._lock:
            if timeout_ms not in self._clients:
                if len(self._clients) >= MAX_CLIENTS:
                    self._clients.pop(next(iter(self._clients)))
                self._clients[timeout_ms] = self._client_for(timeout_ms)
            return self._clients[timeout_ms]


def plain_body(prompt: Prompt, model_id: str, max_output_tokens: int) -> dict[str, Any]:
    """The body of a Converse request that holds the model to the answer's form by its instructions alone."""
    return {
        "system": _system(prompt, model_id),
        "messages": [{"role": "user", "content": [{"text": prompt.user}]}],
        "inferenceConfig": {"maxTokens": max_output_tokens, "temperature": 0.0},
    }


def completion_of(answer: Mapping[str, Any]) -> Completion:
    """The completion in the body of a Converse response; raises KeyError or TypeError for one of another shape."""
    usage = answer["usage"]
    return Completion(
        text=_text(answer["output"]["message"]["content"]),
        stop_reason=answer["stopReason"],
        input_tokens=usage["inputTokens"],
        output_tokens=usage["outputTokens"],
    )


def _system(prompt: Prompt, model_id: str) -> list[dict[str, Any]]:
    system: list[dict[str, Any]] = [{"text": prompt.system}]
    shortest = family_of(model_id).cache_from_tokens
    if shortest is not None and estimate_tokens(prompt.system) >= shortest:
        system.append({"cachePoint": {"type": "default"}})
    return system


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
