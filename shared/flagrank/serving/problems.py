"""Errors over HTTP: RFC 9457 problem details, and how OpenAPI documents them."""

from typing import Any

import orjson

from flagrank.serving.reply import Reply

MEDIA_TYPE = "application/problem+json"

_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "problem"],
                "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
    },
}
_MEANINGS = {
    400: "A body that cannot be read",
    404: "No such item in the set",
    415: "A body that is not sent as JSON",
    422: "A field that is not as documented, or an id that is none of the catalogue's type",
    500: "A bug; the log says more",
    503: "No factors to serve from yet; Retry-After says when to ask again",
}


def problem(status: int, title: str, detail: str, **members: Any) -> Reply:
    """A reply with problem details; `members` are added to them."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    return Reply(status, orjson.dumps(body), MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The statuses as a route's `responses`."""
    return {
        status: {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": _SCHEMA}}} for status in statuses
    }
