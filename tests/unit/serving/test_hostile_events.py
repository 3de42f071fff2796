"""Events of API Gateway whose headers a caller wrote."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from flagrank.serving.asgi import create_app
from flagrank.serving.http_event import answer_http
from flagrank.serving.plain_event import answered
from tests.wiring import Wired


@pytest.fixture(scope="module")
def mangum() -> Iterator[Mangum]:
    """As the function makes it, with a loop of its own."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield Mangum(
        create_app(Wired().service),
        lifespan="off",
        text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, "application/problem+json"],
    )
    asyncio.set_event_loop(None)
    loop.close()


def event(headers: object = None, **changes: Any) -> dict[str, Any]:
    http = {"method": "GET", "path": "/recommend", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "x"}
    return {
        "version": "2.0",
        "rawPath": "/recommend",
        "rawQueryString": "user_id=3",
        "headers": headers if headers is not None else {},
        "requestContext": {"http": http, "stage": "$default"},
        "isBase64Encoded": False,
        **changes,
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "a:b"},
        {"Host": "a:b:c"},
        {"host": "[::1]:443"},
        {"host": "[::1]"},
        {"host": "shop.example:"},
        {"x-forwarded-port": "abc"},
        {"X-Forwarded-Port": "443, 80"},
        {"host": "shop.example:8443", "x-forwarded-port": "8443"},
    ],
)
def test_an_odd_host_or_port_does_not_matter(mangum: Mangum, headers: dict[str, str]) -> None:
    """Nothing here reads them, so the application answers as it would without them."""
    assert answer_http(mangum, event(headers), None)["statusCode"] == 200


@pytest.mark.parametrize(
    "broken",
    [
        {"requestContext": {}},
        {"requestContext": None},
        {"version": "1.0"},
        {"headers": {"x": None}},
        {"headers": [1]},
        {"body": "a", "isBase64Encoded": True},
        {"rawQueryString": None},
    ],
)
def test_an_event_that_nobody_can_read_is_a_400(mangum: Mangum, broken: dict[str, Any]) -> None:
    """Problem details, as for every other fault of the caller."""
    answer = answer_http(mangum, event(**broken), None)
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (400, "application/problem+json")
    assert orjson.loads(answer["body"])["status"] == 400


@pytest.mark.parametrize("request_context", [None, {}, {"http": None}, {"http": {"method": "GET"}}])
def test_a_broken_event_is_a_400_before_fastapi_too(request_context: object) -> None:
    """The function asks there first."""
    service = Wired().service
    answer = answer_http(
        lambda asked, _: answered(asked, service) or {"statusCode": 200},
        event(requestContext=request_context),
        None,
    )
    assert answer["statusCode"] == 400


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.dictionaries(st.text(), st.text()))
header_names = st.one_of(st.sampled_from(["host", "Host", "x-forwarded-port", "content-type", "cookie"]), st.text())


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    headers=st.one_of(anything, st.dictionaries(header_names, st.one_of(st.text(), anything), max_size=4)),
    changes=st.dictionaries(
        st.sampled_from(["body", "isBase64Encoded", "rawQueryString", "cookies", "version"]), anything, max_size=3
    ),
)
def test_no_event_is_a_crash(mangum: Mangum, headers: object, changes: dict[str, Any]) -> None:
    """Whatever the caller writes, the answer has a status below 500 and a JSON body."""
    service = Wired().service
    answer = answer_http(
        lambda asked, context: answered(asked, service, context) or mangum(asked, context),
        event(headers, **changes),
        None,
    )
    assert 200 <= answer["statusCode"] < 500
    assert orjson.loads(answer["body"])
