"""Lambda entry: builds the application once per environment, then answers HTTP and bare events alike."""

import logging
import os
from typing import Any

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from flagrank.bootstrap import build_app
from flagrank.serving.bare_event import as_http_event, body_of, is_http
from flagrank.serving.http_event import answer_http

# a line for each request is what the access log is for; nobody reads one for each call, or where botocore found its
# credentials
for chatty in ("mangum", "botocore", "httpx"):
    logging.getLogger(chatty).setLevel(logging.WARNING)

# lifespan off: Mangum would run it on every request. Problem details are text, or Mangum would send them as base64
_http = Mangum(
    build_app(os.environ), lifespan="off", text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, "application/problem+json"]
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers an API Gateway event with a response, a bare `{"user_id": ...}` with the answer's document."""
    if is_http(event):
        return answer_http(_http, event, context)
    return body_of(_http(as_http_event(event), context))
