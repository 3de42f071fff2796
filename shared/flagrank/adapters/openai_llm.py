"""The LLM over an OpenAI-compatible API: vLLM, Ollama, LiteLLM, llama.cpp, OpenAI, Bedrock's own.

See https://platform.openai.com/docs/api-reference/chat. Models that take no `max_tokens` or no temperature, such as
OpenAI's reasoning models, refuse every call: they are no judges for a budget like ours.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from flagrank.adapters.http_json import HttpResponse, JsonService, document_of
from flagrank.errors import RerankTimeout
from flagrank.ports import Completion, Prompt
from flagrank.rerank.model_forms import StepsDown
from flagrank.rerank.prompting import estimate_input_tokens, estimate_tokens
from flagrank.rerank.providers import name_of

type Format = Literal["sized_schema", "json_schema", "json_object", "plain"]

FORMATS: tuple[Format, ...] = ("sized_schema", "json_schema", "json_object", "plain")
ANSWER_NAME = "relevance"
# how servers say that they do not know a format; some say it of other mistakes as well
REFUSALS = (400, 422, 501)
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class _Refused(Exception):
    def __init__(self, reply: HttpResponse) -> None:
        super().__init__(reply.status)
        self.reply = reply


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Chat(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class OpenAILLM:
    """Chat completions. `structured_output` is what every model is asked for first.

    `json_schema` is the answer's static schema. `sized_schema` says how many entries it has as well, since small models
    were seen never to end an array (infra/decisions/0072); it is another schema for each size of a micro-batch, which
    a server may have to compile.
    A server that refuses it is asked again with one step less; what it takes is remembered for as long as this
    environment lives.
    """

    def __init__(self, service: JsonService, structured_output: Format = "json_schema") -> None:
        self._service = service
        self._structured_output = structured_output
        self._steps_down = StepsDown(FORMATS)

    def complete(self, prompt: Prompt, *, model_id: str, max_output_tokens: int, timeout_ms: int) -> Completion:
        """See LLMClient. All steps down share `timeout_ms`."""
        name = name_of(model_id)
        deadline_s = time.monotonic() + timeout_ms / 1000

        def send(form: Format) -> HttpResponse:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise RerankTimeout("no time is left to ask for less")
            reply = self._service.post("/chat/completions", request(prompt, name, max_output_tokens, form), left_s)
            if reply.status in REFUSALS:
                raise _Refused(reply)
            return reply

        try:
            reply = self._steps_down.ask(model_id, self._structured_output, send, _Refused)
        except _Refused as refused:
            reply = refused.reply
        return completion(document_of(_Chat, reply), prompt)


def request(prompt: Prompt, name: str, max_output_tokens: int, form: Format) -> dict[str, Any]:
    """The body for a prompt."""
    body: dict[str, Any] = {
        "model": name,
        "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
        "max_tokens": max_output_tokens,
        "temperature": 0,
    }
    if form in ("sized_schema", "json_schema"):
        found = _sized(prompt.schema, prompt.size) if form == "sized_schema" else dict(prompt.schema)
        schema = {"name": ANSWER_NAME, "strict": True, "schema": found}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def _sized(schema: Mapping[str, Any], size: int) -> dict[str, Any]:
    bounds = {"minItems": size, "maxItems": size}
    return {**schema, "properties": {name: {**entry, **bounds} for name, entry in schema["properties"].items()}}


def completion(chat: _Chat, prompt: Prompt) -> Completion:
    """The answer in our words; a server that counts no tokens has them estimated, since the daily cap counts them."""
    choice, usage = chat.choices[0], chat.usage
    text = choice.message.content or ""
    return Completion(
        text=text,
        stop_reason=STOP_REASONS.get(choice.finish_reason or "stop", choice.finish_reason or "end_turn"),
        input_tokens=usage.prompt_tokens if usage else estimate_input_tokens(prompt),
        output_tokens=usage.completion_tokens if usage else estimate_tokens(text),
    )
