"""Plain requests, answered past FastAPI: FastAPI and Mangum would have answered the same."""

import asyncio
import json
from typing import Any

import pytest
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from flagrank.errors import FactorsUnavailable
from flagrank.serving.asgi import create_app
from flagrank.serving.plain_event import answered
from flagrank.serving.problems import MEDIA_TYPE
from tests.wiring import Wired

CONTEXT: Any = None


def event(method: str, path: str, query: str = "", body: str | None = None, **headers: str) -> dict[str, Any]:
    """An HTTP API event (payload format 2.0)."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "127.0.0.1"}, "stage": "$default"},
        **({} if body is None else {"body": body}),
        "isBase64Encoded": False,
    }


def post(document: object) -> dict[str, Any]:
    """A POST /recommend with a JSON body."""
    return event("POST", "/recommend", body=json.dumps(document), content_type="application/json")


def through_fastapi(asked: dict[str, Any], service: Wired) -> dict[str, Any]:
    """The response of the application that FastAPI makes."""
    mime_types = [*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE]
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        mangum = Mangum(create_app(service.service), lifespan="off", text_mime_types=mime_types)
        response: dict[str, Any] = mangum(asked, CONTEXT)
        asyncio.set_event_loop(None)
    return response


PLAIN = [
    event("GET", "/recommend", "user_id=1"),
    event("GET", "/recommend", "user_id=1&top_k=3&top_k=7"),
    event("GET", "/recommend", "user_id=1&exclude=105,106&unknown=x"),
    event("GET", "/recommend", "user_id=1&query=thing+12%20&explain=false"),
    event("GET", "/recommend", "user_id=nobody"),
    event("GET", "/recommend", "user_id=1&exclude=" + ",".join(map(str, range(501)))),
    event("GET", "/similar", "item_id=105&top_k=3"),
    event("GET", "/similar", "item_id=9999"),
    event("GET", "/health"),
    post({"user_id": 1}),
    post({"user_id": "1", "history": [105, "106"], "top_k": 4, "exclude": []}),
]
NOT_PLAIN = [
    event("GET", "/recommend"),
    event("GET", "/recommend", "user_id=1&top_k=x"),
    event("GET", "/recommend", "user_id=1&query="),
    event("GET", "/elsewhere"),
    event("PUT", "/recommend"),
    event("GET", "/docs"),
    event("GET", "/openapi.json"),
    event("POST", "/recommend", body="{", content_type="application/json"),
    event("POST", "/recommend", body='{"user_id": 1}', content_type="text/plain"),
    event("POST", "/recommend", content_type="application/json"),
    post([]),
    post({"user_id": 1, "top_k": "5"}),
    post({"user_id": 1, "surprise": True}),
]


@pytest.mark.parametrize("asked", PLAIN)
def test_a_plain_request_is_answered_as_fastapi_would(asked: dict[str, Any]) -> None:
    """Status, headers and body, byte for byte; each service is new, so that nothing is remembered in between."""
    assert answered(asked, Wired().service, CONTEXT) == through_fastapi(asked, Wired())


@pytest.mark.parametrize("asked", NOT_PLAIN)
def test_what_is_not_plain_and_valid_is_left_to_fastapi(asked: dict[str, Any]) -> None:
    """Errors and documentation are worded in one place."""
    assert answered(asked, Wired().service, CONTEXT) is None


def test_without_factors_a_plain_request_says_when_to_come_back() -> None:
    """A 503 with Retry-After, as FastAPI's."""

    def unavailable() -> Wired:
        service = Wired()
        service.store.current = lambda: (_ for _ in ()).throw(FactorsUnavailable("none yet"))  # type: ignore[method-assign]
        return service

    asked = event("GET", "/recommend", "user_id=1")
    response = answered(asked, unavailable().service, CONTEXT)
    assert response is not None
    assert (response["statusCode"], response["headers"]["retry-after"]) == (503, "5")
    assert response == through_fastapi(asked, unavailable())


@pytest.mark.parametrize("version", [None, "1.0"])
def test_an_event_of_another_format_is_left_to_mangum(version: str | None) -> None:
    """Load balancers and REST APIs send other events."""
    assert answered({**event("GET", "/health"), "version": version}, Wired().service, CONTEXT) is None
