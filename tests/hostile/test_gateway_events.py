"""Whatever an event of API Gateway holds, the function answers it, and never with a 5xx."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.flags.document import FlagDocument
from tests.factories import make_factors
from tests.hostile.function import Function, document_of
from tests.hostile.function import event as plain_event
from tests.wiring import by_item_number

EXAMPLES, FULL_EXAMPLES = 200, 20_000
FUNCTION = Function(make_factors(items=200), FlagDocument(enabled=True, percent=100, alpha=0.0), by_item_number)

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
methods = st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "HEAD", "get", "", "GET /"]) | st.text(max_size=5)
paths = st.text(max_size=20) | st.sampled_from(
    ["/recommend", "/similar", "/health", "/recommend/", "//recommend", "/docs", "/%00", ""]
)
queries = st.text(max_size=40) | st.sampled_from(
    ["user_id=1", "user_id=1&top_k=5&query=wireless", "item_id=101", "user_id=1&user_id=2", "%", "a=%zz", "&&=&"]
)
hosts = st.sampled_from(["a:b", "[::1]:443", "[", ":", "shop.example:99999", "shop.example:-1", "\x00", "höst"])
names = st.sampled_from(
    ["host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-for", "content-type", "content-length", "cookie"]
)
headers = st.dictionaries(
    names | st.text(max_size=10),
    hosts | st.text(max_size=20) | st.sampled_from(["application/json", "-1", "443, 80", "chunked"]),
    max_size=5,
)
bodies = (
    st.sampled_from(
        ['{"user_id": 1}', '{"user_id": 1, "history": [101, 102]}', "{", "[]", "null", '{"user_id": NaN}', ""]
    )
    | st.text(max_size=40)
    | st.binary(max_size=40).map(lambda content: base64.b64encode(content).decode())
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event that is nearly one: its parts hostile, some of them missing or of another type."""
    made = plain_event(draw(methods), draw(paths), draw(queries), draw(bodies), draw(headers))
    made["isBase64Encoded"] = draw(st.booleans())
    for _ in range(draw(st.integers(0, 2))):
        target: dict[str, Any] = draw(
            st.sampled_from([made, made["requestContext"]] if isinstance(made.get("requestContext"), dict) else [made])
        )
        name = draw(st.sampled_from(sorted(target))) if target else "version"
        if draw(st.booleans()):
            target.pop(name, None)
        else:
            target[name] = draw(anything)
    return made


@pytest.mark.timeout(3600)
def test_no_event_is_a_5xx(full: bool) -> None:
    """Base64 that is none, parts that are missing, types that are wrong, hosts and ports that are odd."""

    @settings(max_examples=FULL_EXAMPLES if full else EXAMPLES)
    @given(event=events())
    def check(event: dict[str, Any]) -> None:
        response = FUNCTION.handle(event)
        assert 200 <= response["statusCode"] < 500
        if response["body"] and response["headers"].get("content-type", "").startswith("application/"):
            document_of(response)

    check()


@pytest.mark.parametrize("path", ["/recommend", "/recommend/"])
def test_an_odd_scheme_does_not_matter(path: str) -> None:
    """Not even where an answer needs the request's own address: for a method that is not allowed, and a redirect."""
    response = FUNCTION.handle(plain_event("DELETE", path, headers={"x-forwarded-proto": "abc"}))
    assert response["statusCode"] < 500
