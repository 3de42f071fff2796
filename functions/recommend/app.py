"""Lambda entry: builds the application once per environment, then answers HTTP and bare events alike."""

import os
from typing import Any

from flagrank.bootstrap import build_app
from flagrank.direct import as_http_event, body_of, is_http
from mangum import Mangum

# lifespan off: Mangum would run it on every request
_http = Mangum(build_app(os.environ), lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers an API Gateway event with a response, a bare `{"user_id": ...}` with the answer's document."""
    if is_http(event):
        return _http(event, context)
    return body_of(_http(as_http_event(event), context))
