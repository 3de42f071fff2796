"""A bare `{"user_id": ...}` event, as `aws lambda invoke` sends one, answered by the same route as HTTP."""

import json
from collections.abc import Mapping
from typing import Any

from flagrank.errors import UnsupportedEvent


def is_http(event: object) -> bool:
    """Whether the event came through API Gateway (or another front that Mangum knows)."""
    return isinstance(event, Mapping) and "requestContext" in event


def as_http_event(event: object) -> dict[str, Any]:
    """The bare event as the HTTP API event (payload format 2.0) of POST /recommend; raises UnsupportedEvent."""
    if not isinstance(event, Mapping) or "user_id" not in event:
        raise UnsupportedEvent('expected an API Gateway event or {"user_id": ..., "top_k": ...}')
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/recommend",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "direct"},
        "requestContext": {
            "http": {
                "method": "POST",
                "path": "/recommend",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "direct",
            },
            "stage": "$default",
        },
        "body": json.dumps(dict(event)),
        "isBase64Encoded": False,
    }


def body_of(response: Mapping[str, Any]) -> dict[str, Any]:
    """The response's JSON document: the answer, or the problem with its `status`."""
    document: dict[str, Any] = json.loads(response["body"])
    return document
