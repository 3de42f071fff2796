"""The LLM over Bedrock's Converse API.

A model is held to the answer's schema natively (`outputConfig.textFormat`), by a forced tool call, or by its
instructions alone, as its family can (`rerank/model_forms.py`). See
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from flagrank.adapters.aws_clients import ClientsByTimeout
from flagrank.adapters.bedrock_errors import translated
from flagrank.ports import Completion, Prompt
from flagrank.rerank.model_forms import STEPS_DOWN, Constraint, StepsDown, family_of
from flagrank.rerank.prompting import estimate_tokens
from flagrank.rerank.reported_usage import believed_tokens

ANSWER_NAME = "relevance"


class BedrockLLM:
    """Converse calls. `client_for` makes a client for a timeout in ms.

    `structured_output` is what every model is held by; None: as its family can. A model that refuses is asked again
    with one step less; what it takes is remembered for as long as this environment lives.
    """

    def __init__(
        self,
        client_for: Callable[[int], Any],
        *,
        structured_output: Constraint | None = None,
        latency: Literal["standard", "optimized"] = "standard",
        service_tier: Literal["default", "priority", "flex"] = "default",
    ) -> None:
        self._clients = ClientsByTimeout(client_for)
        self._structured_output = structured_output
        self._latency = latency
        self._service_tier = service_tier
        self._steps_down = StepsDown(STEPS_DOWN)

    def complete(self, prompt: Prompt, *, model_id: str, max_output_tokens: int, timeout_ms: int) -> Completion:
        """One Converse call, given up after `timeout_ms`; raises the leaves of RerankError that name its failure.

        A call that is refused as invalid is made again with one step less, down to none (see the class).
        """
        client = self._clients.of(timeout_ms)

        def send(constraint: Constraint) -> Any:
            return client.converse(**self.request(prompt, model_id, max_output_tokens, constraint))

        with translated():
            first = self._structured_output or family_of(model_id).constraint
            answer = self._steps_down.ask(model_id, first, send, client.exceptions.ValidationException)
            usage = answer.get("usage") or {}
            read, written = believed_tokens(
                usage.get("inputTokens"), usage.get("outputTokens"), prompt, max_output_tokens
            )
            return completion_of({**answer, "usage": {"inputTokens": read, "outputTokens": written}})

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


def _text(content: list[dict[str, Any]]) -> str:
    # a thinking model puts reasoning blocks first; a forced tool call carries the answer as its input
    for block in content:
        if "toolUse" in block:
            return json.dumps(block["toolUse"]["input"])
    return "".join(block["text"] for block in content if "text" in block)
