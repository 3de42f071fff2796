"""Bare events, and events that are nothing."""

import json

import pytest

from flagrank.errors import UnsupportedEvent
from flagrank.serving.bare_event import as_http_event, body_of, is_http


def test_a_bare_event_becomes_the_same_request_over_http() -> None:
    """POST /recommend with the event as its body."""
    event = as_http_event({"user_id": 123, "top_k": 5})
    assert is_http(event)
    assert (event["requestContext"]["http"]["method"], event["rawPath"]) == ("POST", "/recommend")
    assert json.loads(event["body"]) == {"user_id": 123, "top_k": 5}


@pytest.mark.parametrize("event", [{}, {"Records": []}, [], None, "user_id", {"userId": 1}])
def test_an_event_that_is_neither_says_what_was_expected(event: object) -> None:
    """A clear error, not a KeyError."""
    assert not is_http(event)
    with pytest.raises(UnsupportedEvent, match="user_id"):
        as_http_event(event)


def test_the_answer_to_a_bare_event_is_the_document_alone() -> None:
    """No status code around it; a problem carries its own."""
    assert body_of({"statusCode": 422, "body": '{"status": 422}'}) == {"status": 422}
