"""What API Gateway's HTTP API makes of a request, and of a function's result: payload format 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import datetime as dt
import time
from collections.abc import Iterable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

TEXT_TYPES = ("text/", "application/json", "application/x-www-form-urlencoded", "application/xml")
JSON_TYPE = "application/json"
ERROR_BODY = b'{"message":"Internal Server Error"}'


def http_event(request: Request, body: bytes, request_id: str) -> dict[str, Any]:
    """The request as an event: the path decoded, the query string as sent, cookies apart from the headers."""
    headers = _joined(request.headers.items())
    cookies = headers.pop("cookie", "")
    query = _joined(request.query_params.multi_items())
    path = request.scope["path"]
    domain = headers.get("host", "")
    now_s = time.time()
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.scope["query_string"].decode("latin-1"),
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": f"HTTP/{request.scope['http_version']}",
                "sourceIp": request.client.host if request.client else "127.0.0.1",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": dt.datetime.fromtimestamp(now_s, dt.UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now_s * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = [cookie.strip() for cookie in cookies.replace(",", ";").split(";")]
    if query:
        event["queryStringParameters"] = query
    if body:
        is_text = headers.get("content-type", "").startswith(TEXT_TYPES)
        event["isBase64Encoded"] = not is_text
        event["body"] = body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode()
    return event


def http_response(result: object) -> Response:
    """The function's result as HTTP.

    Without a `statusCode` the whole result is the body of a 200; a result that API Gateway cannot read is a 500.
    """
    if not isinstance(result, dict) or "statusCode" not in result:
        content = result if isinstance(result, str) else orjson.dumps(result)
        return Response(content, media_type=JSON_TYPE)
    body = result.get("body") or ""
    try:
        content = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
        headers = {str(name): str(value) for name, value in (result.get("headers") or {}).items()}
        response = Response(content, int(result["statusCode"]), headers)
        for cookie in result.get("cookies") or ():
            response.headers.append("set-cookie", cookie)
    except (AttributeError, TypeError, ValueError):
        return internal_error()
    return response


def internal_error() -> Response:
    """What API Gateway answers for a function that failed."""
    return Response(ERROR_BODY, 500, media_type=JSON_TYPE)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
