"""The LLM over an OpenAI-compatible API: what is sent, what is understood, and how it asks for less."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest

from flagrank.adapters.api_keys import ApiKey
from flagrank.adapters.http_json import JsonService
from flagrank.adapters.openai_llm import FORMATS, OpenAILLM, request
from flagrank.errors import LLMRejected, UnknownRerankError
from flagrank.ports import Completion, Prompt
from flagrank.rerank.answers import COMPACT, FORMS, AnswerForm
from flagrank.rerank.prompting import estimate_input_tokens, estimate_tokens
from tests.adapters.loopback import Answer, Call, Loopback, chat_answer

PROMPT = Prompt(system="answer with JSON", user="these items", size=2, schema=COMPACT.schema)
TEXT = '{"scores": [1, 2]}'


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(lambda call: chat_answer(TEXT)) as running:
        yield running


@pytest.fixture
def llm(server: Loopback) -> Iterator[OpenAILLM]:
    with closing(JsonService(server.url + "/v1", ApiKey(""), 4)) as service:
        yield OpenAILLM(service, FORMATS[0])


def complete(llm: OpenAILLM, model_id: str = "openai:qwen2.5:7b") -> Completion:
    return llm.complete(PROMPT, model_id=model_id, max_output_tokens=200, timeout_ms=5000)


def formats_asked(server: Loopback) -> list[str]:
    return [format_of(orjson.loads(call.body)) for call in server.calls]


def format_of(body: dict[str, Any]) -> str:
    found = body.get("response_format", {"type": "plain"})
    sized = found["type"] == "json_schema" and "minItems" in found["json_schema"]["schema"]["properties"]["scores"]
    return "sized_schema" if sized else str(found["type"])


def knows(*formats: str) -> Any:
    """A server that answers in these formats and refuses the others, as llama.cpp and vLLM do."""

    def respond(call: Call) -> Answer:
        form = format_of(orjson.loads(call.body))
        return chat_answer(TEXT) if form in formats else Answer(400, b'{"error": {"code": 400}}')

    return respond


def test_the_request_is_that_of_the_api(server: Loopback, llm: OpenAILLM) -> None:
    """The prefix is the flag's, and the model's own colon is its name's."""
    complete(llm)
    (call,) = server.calls
    body = orjson.loads(call.body)
    assert call.path == "/v1/chat/completions"
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("qwen2.5:7b", 200, 0)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_the_static_schema_is_strict_and_the_same_for_every_request() -> None:
    """It is compiled once."""
    body = request(PROMPT, "m", 10, "json_schema")
    assert body["response_format"]["json_schema"] == {"name": "relevance", "strict": True, "schema": COMPACT.schema}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_sized_schema_holds_the_answer_to_one_entry_for_each_item(form: AnswerForm) -> None:
    """In either form of the answer, and the static schema stays as it is."""
    before = orjson.dumps(form.schema)
    prompt = Prompt(system="s", user="u", size=7, schema=form.schema)
    schema = request(prompt, "m", 10, "sized_schema")["response_format"]["json_schema"]["schema"]
    bounds = schema["properties"][form.member]
    assert (bounds["minItems"], bounds["maxItems"], bounds["items"]) == (
        7,
        7,
        form.schema["properties"][form.member]["items"],
    )
    assert orjson.dumps(form.schema) == before


def test_a_plain_request_names_no_format() -> None:
    """A server that knows no formats is not sent the member."""
    assert "response_format" not in request(PROMPT, "m", 10, "plain")


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_server_is_asked_for_less_until_it_answers(server: Loopback, llm: OpenAILLM, steps: int) -> None:
    """Within one call, and what it took is asked for at once from then on."""
    server.respond = knows(*FORMATS[steps - 1 :])
    assert complete(llm).text == complete(llm).text == TEXT
    assert formats_asked(server) == [*FORMATS[:steps], FORMATS[steps - 1]]


@pytest.mark.parametrize("status", [400, 422, 501])
def test_a_request_that_is_refused_in_every_format_is_an_error(server: Loopback, llm: OpenAILLM, status: int) -> None:
    """The model's name or the length may be what is wrong; nothing is remembered."""
    server.respond = lambda call: Answer(status)
    with pytest.raises(Exception, match=f"HTTP {status}"):
        complete(llm)
    server.respond = knows(*FORMATS)
    complete(llm)
    assert formats_asked(server) == [*FORMATS, FORMATS[0]]


def test_other_refusals_are_not_asked_again(server: Loopback, llm: OpenAILLM) -> None:
    """A wrong key does not get better by asking for less."""
    server.respond = lambda call: Answer(401)
    with pytest.raises(LLMRejected):
        complete(llm)
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("finish", "stop"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "content_filter"), (None, "end_turn")],
)
def test_the_reason_for_the_end_is_in_our_words(
    server: Loopback, llm: OpenAILLM, finish: str | None, stop: str
) -> None:
    """So that the parser knows an answer that was cut off."""
    server.respond = lambda call: chat_answer(TEXT, finish)  # type: ignore[arg-type]
    assert complete(llm).stop_reason == stop


def test_a_server_that_counts_no_tokens_has_them_estimated(server: Loopback, llm: OpenAILLM) -> None:
    """The daily cap holds for it as well."""
    server.respond = lambda call: chat_answer(TEXT, usage=None)
    completion = complete(llm)
    assert completion.input_tokens == estimate_input_tokens(PROMPT) > 0
    assert completion.output_tokens == estimate_tokens(TEXT) > 0


def test_an_answer_without_content_is_an_empty_text(server: Loopback, llm: OpenAILLM) -> None:
    """It is the parser's to reject, and its tokens are still counted."""
    server.respond = lambda call: chat_answer(None)
    assert (complete(llm).text, complete(llm).input_tokens) == ("", 11)


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>sk-secret", b'{"choices": []}'])
def test_an_answer_that_is_none_of_the_api_s_is_unknown(server: Loopback, llm: OpenAILLM, body: bytes) -> None:
    """A 200 without the API's members is a failure nobody foresaw, and its text is not repeated."""
    server.respond = lambda call: Answer(200, body)
    with pytest.raises(UnknownRerankError, match=r"^the answer is none of the API's$") as caught:
        complete(llm)
    assert caught.value.__cause__ is None
