"""What the OpenAPI document says of the API, and what it does."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from flagrank.serving.answers import BODY_EXAMPLES, EXAMPLES, HealthAnswer, RecommendAnswer, SimilarAnswer
from flagrank.serving.api import RecommendBody
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
        ("/recommend", "post", {"200", "400", "415", "422", "500", "503"}),
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


ANSWERS: list[tuple[str, str, dict[str, Any], type[BaseModel]]] = [
    ("GET", "/recommend", {"params": {"user_id": 3}}, RecommendAnswer),
    ("GET", "/recommend", {"params": {"user_id": 3, "query": "lamp", "explain": "true"}}, RecommendAnswer),
    ("POST", "/recommend", {"json": {"user_id": 3, "history": [101], "explain": True}}, RecommendAnswer),
    ("GET", "/similar", {"params": {"item_id": 101}}, SimilarAnswer),
    ("GET", "/health", {}, HealthAnswer),
]


@pytest.mark.parametrize(("method", "path", "request_", "model"), ANSWERS)
def test_answers_are_as_documented(method: str, path: str, request_: dict[str, Any], model: type[BaseModel]) -> None:
    """No member is missing in the schema, and none is of another type."""
    response = asked(method, path, **request_)
    assert response.status_code == 200
    model.model_validate_json(response.content)


@pytest.mark.parametrize(
    ("path", "method"), [("/recommend", "get"), ("/recommend", "post"), ("/similar", "get"), ("/health", "get")]
)
def test_every_route_has_a_schema_and_an_example(path: str, method: str) -> None:
    """A generated client has types, and a reader has something to copy; the example is valid."""
    content = documented()["paths"][path][method]["responses"]["200"]["content"]["application/json"]
    assert content["schema"]["$ref"].startswith("#/components/schemas/")
    name = content["schema"]["$ref"].rpartition("/")[2]
    model = next(model for model in EXAMPLES if model.__name__ == name)
    model.model_validate(content["example"])


def test_the_body_s_examples_are_valid() -> None:
    """What a reader copies is answered."""
    for example in BODY_EXAMPLES.values():
        RecommendBody.model_validate(example["value"])


@pytest.mark.parametrize(
    "headers", [{"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}, {}]
)
def test_a_body_without_a_json_content_type_is_told_so(headers: dict[str, str]) -> None:
    """`curl -d` sends a form, which is the commonest mistake."""
    response = asked("POST", "/recommend", content=b'{"user_id": 3}', headers=headers)
    assert response.status_code == 415
    assert "content-type: application/json" in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("GET", {"params": {"user_id": "a b"}}, "user_id"),
        ("GET", {"params": {"user_id": ""}}, "user_id"),
        ("GET", {"params": {"user_id": 3, "exclude": "1, 2"}}, "exclude"),
        ("POST", {"json": {"user_id": "a b"}}, "user_id"),
        ("POST", {"json": {"user_id": 3, "history": ["a b"]}}, "history"),
    ],
)
def test_a_bad_id_is_explained_without_a_regular_expression(method: str, request_: dict[str, Any], field: str) -> None:
    """Once, and in words."""
    response = asked(method, "/recommend", **request_)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert error["problem"].startswith("expected ")
    assert "^" not in error["problem"]


def test_a_list_that_is_too_long_keeps_its_own_words() -> None:
    """What is wrong is its length, not an id."""
    response = asked("POST", "/recommend", json={"user_id": 3, "history": [1] * 501})
    assert "500" in response.json()["detail"]


def test_an_unknown_category_is_said_in_the_diagnostics() -> None:
    """An empty list would otherwise look like a fault."""
    asked_for = {"user_id": 3, "category": "no such thing", "explain": "true"}
    answer = asked("GET", "/recommend", params=asked_for).json()
    assert (answer["top_items"], answer["diagnostics"]["unknown_category"]) == ([], "no such thing")
    known = {
        **asked_for,
        "category": asked("GET", "/recommend", params={"user_id": 3, "explain": "true"}).json()["items"][0]["category"],
    }
    assert asked("GET", "/recommend", params=known).json()["diagnostics"]["unknown_category"] is None


def test_the_documentation_needs_no_other_host() -> None:
    """It works without the internet: every address in it is its own."""
    page = asked("GET", "/docs")
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert asked("GET", "/redoc").status_code == 404
