"""What the OpenAPI document says of the API, and what it does."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from flagrank.serving.asgi import create_app
from tests.wiring import Wired

MEDIA_TYPE = "application/problem+json"


def asked(method: str, path: str, **request: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(Wired().service))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.local") as client:
            return await client.request(method, path, **request)

    return asyncio.run(ask())


def documented() -> Mapping[str, Any]:
    return create_app(Wired().service).openapi()


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/recommend", "get", {"200", "422", "500", "503"}),
        ("/recommend", "post", {"200", "400", "422", "500", "503"}),
        ("/similar", "get", {"200", "404", "422", "500", "503"}),
        ("/health", "get", {"200", "500", "503"}),
    ],
)
def test_every_status_is_documented_and_problems_are_problem_details(
    path: str, method: str, statuses: set[str]
) -> None:
    """A generated client knows each status, and what its body is."""
    responses = documented()["paths"][path][method]["responses"]
    assert responses.keys() == statuses
    for status in statuses - {"200"}:
        assert responses[status]["content"].keys() == {MEDIA_TYPE}
        assert {"type", "title", "status", "detail"} == {
            *responses[status]["content"][MEDIA_TYPE]["schema"]["required"]
        }


def test_a_body_that_cannot_be_read_is_the_documented_400() -> None:
    """JSON that is nested too deep for any reader."""
    response = asked("POST", "/recommend", content=b"[" * 100_000, headers={"content-type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (400, MEDIA_TYPE)


@pytest.mark.parametrize(("path", "allowed"), [("/recommend", "GET, POST"), ("/similar", "GET"), ("/health", "GET")])
def test_a_405_lists_every_method_of_the_path(path: str, allowed: str) -> None:
    """RFC 9110 wants all of them, not those of the first route."""
    response = asked("DELETE", path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "body",
    [
        {"user_id": 3.0},
        {"user_id": 3, "top_k": 4.0},
        {"user_id": 3, "history": [101.0], "exclude": [102.0]},
        {"user_id": -(10**18) + 1},
    ],
)
def test_a_whole_number_is_an_integer_however_it_is_written(body: dict[str, Any]) -> None:
    """JSON Schema has 42.0 for an integer."""
    assert asked("POST", "/recommend", json=body).status_code == 200


@pytest.mark.parametrize("user_id", [3.5, True, None, 10**18, -(10**18), [3]])
def test_what_the_schema_refuses_is_refused(user_id: object) -> None:
    """The bounds of an integer id are in the schema, and those are the bounds that hold."""
    assert asked("POST", "/recommend", json={"user_id": user_id}).status_code == 422
    fields = documented()["components"]["schemas"]["RecommendBody"]["properties"]
    integer = fields["user_id"]["anyOf"][0]
    assert integer == {"type": "integer", "exclusiveMinimum": -(10**18), "exclusiveMaximum": 10**18}
    assert (fields["top_k"]["minimum"], fields["top_k"]["maximum"]) == (1, 100)
