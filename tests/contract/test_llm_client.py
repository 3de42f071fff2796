"""What every LLMClient promises."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Protocol

import orjson
import pytest

from flagrank.adapters.api_keys import ApiKey
from flagrank.adapters.bedrock_llm import BedrockLLM
from flagrank.adapters.http_json import JsonService
from flagrank.adapters.in_memory import ScriptedLLM
from flagrank.adapters.openai_llm import FORMATS, Format, OpenAILLM
from flagrank.errors import LLMRejected, LLMThrottled, LLMUnavailable, RerankError, RerankTimeout
from flagrank.ports import Completion, LLMClient, Prompt
from flagrank.rerank.answers import VERBOSE
from tests.adapters.loopback import Answer, Call, Loopback, chat_answer, client, converse_answer, failure

PROMPT = Prompt(system="judge", user="these items", size=2, schema=VERBOSE.schema)
ANSWER = {"items": [{"i": 0, "relevance": 80, "allowed": True}, {"i": 1, "relevance": 5, "allowed": True}]}
TIMEOUT_MS = 400


class Model(Protocol):
    """A client, and what its model does next."""

    @property
    def llm(self) -> LLMClient:
        """The client under test."""

    def answers(self) -> None:
        """Gives a clean answer."""

    def fails(self, error: type[RerankError]) -> None:
        """Fails in a way that is to surface as this error."""


class ScriptedModel:
    def __init__(self) -> None:
        self._answer: Callable[[Prompt], Completion] = self._clean
        self.llm = ScriptedLLM(lambda prompt: self._answer(prompt))

    def answers(self) -> None:
        self._answer = self._clean

    def fails(self, error: type[RerankError]) -> None:
        def fail(prompt: Prompt) -> Completion:
            raise error("as scripted")

        self._answer = fail

    @staticmethod
    def _clean(prompt: Prompt) -> Completion:
        return Completion(orjson.dumps(ANSWER).decode(), "end_turn", 11, 7)


class BedrockModel:
    FAILURES: dict[type[RerankError], Answer] = {  # noqa: RUF012 - read only
        RerankTimeout: Answer(hang=True),
        LLMThrottled: failure("ThrottlingException", 429),
        LLMRejected: failure("ValidationException", 400),
        LLMUnavailable: failure("InternalServerException", 500),
    }

    def __init__(self, server: Loopback, *, tool_use: bool) -> None:
        self._server, self._tool_use = server, tool_use
        self.answers()
        self.llm = BedrockLLM(
            lambda timeout_ms: client("bedrock-runtime", server.url, read_timeout_s=timeout_ms / 1000),
            structured_output="tool_use" if tool_use else "json_schema",
        )

    def answers(self) -> None:
        if self._tool_use:
            block = {"toolUse": {"toolUseId": "1", "name": "relevance", "input": ANSWER}}
            answer = converse_answer([block], "tool_use")
        else:
            answer = converse_answer([{"text": orjson.dumps(ANSWER).decode()}])
        self._respond(answer)

    def fails(self, error: type[RerankError]) -> None:
        self._respond(self.FAILURES[error])

    def _respond(self, answer: Answer) -> None:
        def respond(call: Call) -> Answer:
            return answer

        self._server.respond = respond


class OpenAIModel:
    FAILURES: dict[type[RerankError], Answer] = {  # noqa: RUF012 - read only
        RerankTimeout: Answer(hang=True),
        LLMThrottled: Answer(429),
        LLMRejected: Answer(401),
        LLMUnavailable: Answer(503),
    }

    def __init__(self, server: Loopback, service: JsonService, structured_output: Format) -> None:
        self._server = server
        self.answers()
        self.llm = OpenAILLM(service, structured_output)

    def answers(self) -> None:
        self._server.respond = lambda call: chat_answer(orjson.dumps(ANSWER).decode())

    def fails(self, error: type[RerankError]) -> None:
        self._server.respond = lambda call: self.FAILURES[error]


@pytest.fixture(params=["scripted", "bedrock json_schema", "bedrock tool_use", *(f"openai {form}" for form in FORMATS)])
def model(request: pytest.FixtureRequest) -> Iterator[Model]:
    provider, _, form = request.param.partition(" ")
    if provider == "scripted":
        yield ScriptedModel()
        return
    with Loopback(lambda call: Answer()) as server:
        if provider == "bedrock":
            yield BedrockModel(server, tool_use=form == "tool_use")
            return
        with closing(JsonService(server.url + "/v1", ApiKey("key"), 4)) as service:
            yield OpenAIModel(server, service, form)


def complete(llm: LLMClient) -> Completion:
    return llm.complete(PROMPT, model_id="openai:some-model", max_output_tokens=200, timeout_ms=TIMEOUT_MS)


def test_a_clean_answer_is_json_text_with_its_bill(model: Model) -> None:
    """Whichever way it was asked for, the text is the answer's JSON, and the tokens are counted."""
    model.answers()
    completion = complete(model.llm)
    assert orjson.loads(completion.text) == ANSWER
    assert completion.stop_reason in ("end_turn", "tool_use")
    assert (completion.input_tokens, completion.output_tokens) == (11, 7)


@pytest.mark.parametrize("error", [RerankTimeout, LLMThrottled, LLMRejected, LLMUnavailable])
def test_each_failure_has_its_own_error(model: Model, error: type[RerankError]) -> None:
    """A timeout, a throttle, a rejection and an outage can be told apart."""
    model.fails(error)
    with pytest.raises(error):
        complete(model.llm)


def test_a_client_recovers(model: Model) -> None:
    """A failure leaves nothing behind that spoils the next call."""
    model.fails(LLMUnavailable)
    with pytest.raises(LLMUnavailable):
        complete(model.llm)
    model.answers()
    assert complete(model.llm).output_tokens == 7
