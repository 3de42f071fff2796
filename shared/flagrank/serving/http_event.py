"""Between API Gateway and Mangum: what a caller wrote into an event must not fail before the application sees it."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from flagrank.serving.problems import problem
from flagrank.serving.reply import for_gateway

# Mangum reads a port out of the first two and fails on one that is no number; Starlette fails on a scheme that it does
# not know when it writes an address, as for a 405. Nothing else reads them
UNREAD_HEADERS = frozenset({"host", "x-forwarded-port", "x-forwarded-proto"})

logger = logging.getLogger(__name__)


def answer_http(
    adapter: Callable[[Any, Any], dict[str, Any]], event: Mapping[str, Any], context: Any
) -> dict[str, Any]:
    """The adapter's response to an event of API Gateway, or a 400 to one that it cannot read."""
    try:
        return adapter(_without_host(event), context)
    except Exception:  # the application answers its own faults, so what is left are events that are none
        logger.warning("an event could not be read", exc_info=True)
    return for_gateway(problem(400, "Unreadable event", "The request could not be read."))


def _without_host(event: Mapping[str, Any]) -> dict[str, Any]:
    headers = event.get("headers")
    if not isinstance(headers, Mapping):
        return dict(event)
    kept = {name: value for name, value in headers.items() if str(name).lower() not in UNREAD_HEADERS}
    return {**event, "headers": kept}
