"""Lambda entry: wires the service once per environment, then answers HTTP and bare events alike."""

import functools
import gc
import logging
import os
from typing import TYPE_CHECKING, Any

# what a start makes is there to stay: to look for garbage in it costs a tenth of the start
gc.disable()

from flagrank.bootstrap import build_service
from flagrank.serving.bare_event import as_http_event, body_of, is_http
from flagrank.serving.http_event import answer_http
from flagrank.serving.plain_event import answered

if TYPE_CHECKING:
    from mangum import Mangum

# a line for each request is what the access log is for; nobody reads one for each call, or where botocore found its
# credentials
for chatty in ("mangum", "botocore", "httpx"):
    logging.getLogger(chatty).setLevel(logging.WARNING)

_service = build_service(os.environ)

# nor in any collection to come: pages that are not written stay shared with the snapshot
gc.freeze()
gc.enable()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers an API Gateway event with a response, a bare `{"user_id": ...}` with the answer's document."""
    if is_http(event):
        return answer_http(_http, event, context)
    return body_of(_http(as_http_event(event), context))


def _http(event: dict[str, Any], context: Any) -> dict[str, Any]:
    response = answered(event, _service, context)
    return _application()(event, context) if response is None else response


@functools.cache
def _application() -> "Mangum":
    from mangum import Mangum
    from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

    from flagrank.serving.asgi import create_app
    from flagrank.serving.problems import MEDIA_TYPE

    # lifespan off: Mangum would run it on every request. Problem details are text, or Mangum would send them as base64
    return Mangum(create_app(_service), lifespan="off", text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE])
