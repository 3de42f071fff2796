"""Counts the calls that a stand-in answers, by service and operation: what `flagrank cost` is checked against."""

import re
from collections import Counter

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/_calls"
# AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request
# https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
SERVICE = re.compile(rb"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/")
OBJECTS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
# the data plane of AppConfig, whose operations are routes
ROUTES = {"/configuration": "GetLatestConfiguration", "/configurationsessions": "StartConfigurationSession"}


class CountedCalls:
    """An application whose signed calls are counted; `GET /_calls` gives the counts by `service.Operation`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._counts: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the application does."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await Response(orjson.dumps(self._counts), media_type="application/json")(scope, receive, send)
            return
        if scope["type"] == "http" and (name := _name(scope)):
            self._counts[name] += 1
        await self._app(scope, receive, send)


def _name(scope: Scope) -> str | None:
    headers = dict(scope["headers"])
    signed = SERVICE.search(headers.get(b"authorization", b""))
    if signed is None:
        return None
    service = signed[1].decode()
    if target := headers.get(b"x-amz-target"):
        return f"{service}.{target.decode().rpartition('.')[2]}"
    if service == "s3":
        return f"s3.{OBJECTS.get(scope['method'], scope['method'])}"
    route: str = scope["path"]
    if route in ROUTES:
        return f"appconfig.{ROUTES[route]}"
    if route.endswith(("/converse", "/invoke")) or route == "/rerank":
        return "bedrock." + {"c": "Converse", "i": "InvokeModel", "r": "Rerank"}[route.rpartition("/")[2][0]]
    return f"{service}.{scope['method']}"
