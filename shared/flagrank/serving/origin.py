"""The names under which a request is known to those who sent it here."""

from collections.abc import Mapping
from typing import Any

from flagrank.domain import Origin

MAX_LENGTH = 64


def origin_of(event: object, context: Any) -> Origin:
    """Lambda's request id by its context, and API Gateway's by the event; empty where there is none."""
    request_context = event.get("requestContext") if isinstance(event, Mapping) else None
    gateway_id = request_context.get("requestId") if isinstance(request_context, Mapping) else None
    return Origin(_text(getattr(context, "aws_request_id", None)), _text(gateway_id))


def _text(request_id: object) -> str:
    return request_id[:MAX_LENGTH] if isinstance(request_id, str) else ""
