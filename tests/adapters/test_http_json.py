"""JSON over HTTP: every failure by its name, one attempt, a timeout for all of it, and a key that nobody sees."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import closing

import httpx
import orjson
import pytest

from flagrank.adapters import http_json
from flagrank.adapters.api_keys import ApiKey
from flagrank.adapters.http_json import MAX_BODY_BYTES, JsonService, refusal, translated
from flagrank.errors import LLMRejected, LLMThrottled, LLMUnavailable, RerankError, RerankTimeout, UnknownRerankError
from tests.adapters.loopback import DRIPPED_HEADS, Answer, Dripping, Loopback

KEY = "sk-do-not-show-me"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(lambda call: Answer(200, b'{"ok": true}')) as running:
        yield running


@pytest.fixture
def service(server: Loopback) -> Iterator[JsonService]:
    with closing(JsonService(server.url + "/v1", ApiKey(KEY), 4)) as made:
        yield made


@pytest.mark.parametrize("head", DRIPPED_HEADS.values(), ids=DRIPPED_HEADS)
def test_a_server_that_drips_is_given_up_and_hung_up_on(head: bytes) -> None:
    """The timeout is for the whole call, and neither the caller's thread nor the connection is kept."""
    with Dripping(head, every_s=0.02) as server, closing(JsonService(server.url, ApiKey(""), 4)) as service:
        with pytest.raises(RerankTimeout):
            service.post("/any", {}, 0.2)
        assert server.hung_up.acquire(timeout=10)


def test_a_call_after_a_late_one_finds_the_service_as_it_was(server: Loopback, service: JsonService) -> None:
    """A connection that was given up is not used again."""
    server.respond = lambda call: Answer(hang=True)
    with pytest.raises(RerankTimeout):
        service.post("/any", {}, 0.2)
    server.respond = lambda call: Answer(200, b"{}")
    assert service.post("/any", {}, 5).body == b"{}"


def test_a_body_goes_to_the_path_under_the_base_url_with_the_key(server: Loopback, service: JsonService) -> None:
    """As JSON, and authorised as OpenAI's API is."""
    assert service.post("/rerank", {"query": "x"}, 5).body == b'{"ok": true}'
    (call,) = server.calls
    assert (call.method, call.path, orjson.loads(call.body)) == ("POST", "/v1/rerank", {"query": "x"})
    assert (call.headers["authorization"], call.headers["content-type"]) == (f"Bearer {KEY}", "application/json")


def test_a_server_without_a_key_is_sent_none(server: Loopback) -> None:
    """llama.cpp and Ollama ask for none."""
    with closing(JsonService(server.url, ApiKey(""), 4)) as service:
        service.post("/any", {}, 5)
    assert "authorization" not in server.calls[0].headers


def test_a_call_is_made_once(server: Loopback, service: JsonService) -> None:
    """No retry multiplies the timeout or the bill."""
    server.respond = lambda call: Answer(503)
    assert service.post("/any", {}, 5).status == 503
    assert len(server.calls) == 1


def test_a_redirect_is_not_followed(server: Loopback, service: JsonService) -> None:
    """The key goes where it was configured for, and nowhere else."""
    server.respond = lambda call: Answer(307, b"", {"Location": server.url + "/elsewhere"})
    assert isinstance(refusal(service.post("/any", {}, 5)), LLMRejected)
    assert len(server.calls) == 1


def test_a_service_that_is_gone_is_unavailable(server: Loopback, service: JsonService) -> None:
    """A refused connection is LLMUnavailable."""
    server.close()
    with pytest.raises(LLMUnavailable):
        service.post("/any", {}, 5)


def test_a_body_that_is_far_too_long_is_no_answer(server: Loopback, service: JsonService) -> None:
    """An answer has a few kilobytes, and no more than a megabyte is kept."""
    server.respond = lambda call: Answer(200, b" " * (3 * MAX_BODY_BYTES))
    with pytest.raises(LLMUnavailable, match="longer than"):
        service.post("/any", {}, 5)


def test_a_closed_service_can_be_used_again(service: JsonService) -> None:
    """Closing frees what is open and forbids nothing."""
    service.post("/any", {}, 5)
    service.close()
    assert service.post("/any", {}, 5).status == 200


def leaf_of(error: Exception) -> type[RerankError]:
    with pytest.raises(RerankError) as caught, translated():
        raise error
    assert caught.value.__cause__ is error
    return type(caught.value)


def made(kind: type[Exception]) -> Exception:
    try:
        return kind("as told")
    except TypeError:
        # the one that is made of a response
        request = httpx.Request("POST", "http://host")
        return kind("as told", request=request, response=httpx.Response(500, request=request))  # type: ignore[call-arg]


def without_arguments(kind: type[Exception]) -> Exception:
    return kind() if kind in (httpx.StreamConsumed, httpx.ResponseNotRead, httpx.RequestNotRead) else made(kind)


def test_no_exception_of_httpx_is_unmapped() -> None:
    """Each has a leaf of our choosing; a new one in httpx fails here until it has one."""
    names = [name for name in httpx.__all__ if isinstance(getattr(httpx, name), type)]
    kinds = [getattr(httpx, name) for name in names if issubclass(getattr(httpx, name), Exception)]
    leaves = {
        kind.__name__: leaf_of(httpx.StreamClosed() if kind is httpx.StreamClosed else without_arguments(kind))
        for kind in kinds
    }
    assert leaves == {
        "CloseError": LLMUnavailable,
        "ConnectError": LLMUnavailable,
        "ConnectTimeout": RerankTimeout,
        "CookieConflict": UnknownRerankError,
        "DecodingError": LLMUnavailable,
        "HTTPError": LLMUnavailable,
        "HTTPStatusError": LLMUnavailable,
        "InvalidURL": LLMRejected,
        "LocalProtocolError": LLMUnavailable,
        "NetworkError": LLMUnavailable,
        "PoolTimeout": RerankTimeout,
        "ProtocolError": LLMUnavailable,
        "ProxyError": LLMUnavailable,
        "ReadError": LLMUnavailable,
        "ReadTimeout": RerankTimeout,
        "RemoteProtocolError": LLMUnavailable,
        "RequestError": LLMUnavailable,
        "RequestNotRead": UnknownRerankError,
        "ResponseNotRead": UnknownRerankError,
        "StreamClosed": UnknownRerankError,
        "StreamConsumed": UnknownRerankError,
        "StreamError": UnknownRerankError,
        "TimeoutException": RerankTimeout,
        "TooManyRedirects": LLMRejected,
        "TransportError": LLMUnavailable,
        "UnsupportedProtocol": LLMRejected,
        "WriteError": LLMUnavailable,
        "WriteTimeout": RerankTimeout,
    }
    mapped = {kind for kind, _ in http_json.ERRORS}
    assert all(any(issubclass(kind, known) for known in mapped) for kind in kinds)


@pytest.mark.parametrize(
    ("status", "leaf"),
    [
        (301, LLMRejected),
        (400, LLMRejected),
        (401, LLMRejected),
        (402, LLMRejected),
        (403, LLMRejected),
        (404, LLMRejected),
        (408, RerankTimeout),
        (413, LLMRejected),
        (422, LLMRejected),
        (429, LLMThrottled),
        (500, LLMUnavailable),
        (502, LLMUnavailable),
        (503, LLMUnavailable),
        (529, LLMUnavailable),
    ],
)
def test_every_status_has_its_leaf(status: int, leaf: type[RerankError]) -> None:
    """What is to be done differs: another key, a higher quota, or patience."""
    assert type(refusal(http_json.HttpResponse(status, b""))) is leaf


def test_a_good_status_is_no_error() -> None:
    """Some gateways answer 201."""
    assert refusal(http_json.HttpResponse(200, b"")) is refusal(http_json.HttpResponse(201, b"")) is None


def test_a_provider_s_own_words_are_shown_and_its_sentences_are_not() -> None:
    """The type and code say what is wrong; the message may quote the prompt or the key."""
    error = {"message": f"Incorrect API key provided: {KEY}", "type": "invalid_request_error", "code": "bad key!"}
    shown = refusal(http_json.HttpResponse(401, orjson.dumps({"error": error})))
    assert str(shown) == "HTTP 401 invalid_request_error"
    for body in (b"", b"<html>", b"[]", b'{"error": "no"}', b'{"error": {"type": 5}}'):
        assert str(refusal(http_json.HttpResponse(500, body))) == "HTTP 500"


def test_the_key_is_in_no_error_log_or_repr(
    server: Loopback, service: JsonService, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails, at any log level, and even if the server sends the key back."""
    caplog.set_level(logging.DEBUG)
    echo = orjson.dumps({"error": {"message": KEY, "type": f"no {KEY}", "code": None}, "choices": KEY})
    shown = [repr(service), str(service), repr(ApiKey(KEY)), str(vars(service))]
    for answer in (Answer(401, echo), Answer(500, echo), Answer(200, echo), Answer(hang=True)):
        server.respond = lambda call, answer=answer: answer  # type: ignore[misc]
        try:
            reply = service.post("/any", {}, 0.2)
            shown.append(str(refusal(reply)))
        except RerankError as error:
            shown.append("".join(traceback.format_exception(error)))
    server.close()
    with pytest.raises(LLMUnavailable) as caught:
        service.post("/any", {}, 1)
    shown.append("".join(traceback.format_exception(caught.value)))
    assert KEY not in "".join(shown) + caplog.text


@pytest.mark.parametrize("key", ["two\nlines", "with space", "schlüssel", '{"key":"x"}'])
def test_a_key_that_no_header_can_hold_is_refused_before_a_library_quotes_it(server: Loopback, key: str) -> None:
    """As a rejection, and without the key."""
    with closing(JsonService(server.url, ApiKey(key), 4)) as service, pytest.raises(LLMRejected) as caught:
        service.post("/any", {}, 1)
    assert key not in str(caught.value)
    assert server.calls == []
