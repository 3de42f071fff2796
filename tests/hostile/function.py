"""The recommend function over in-memory adapters: events in, responses out, lines on standard output."""

import asyncio
import base64
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import orjson
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.adapters.in_memory import (
    InlineExecutor,
    InMemoryFactorStore,
    InMemoryFlagSource,
    InMemoryJudgementQueue,
    InMemoryScoreCache,
    ManualClock,
    ScriptedLLM,
)
from flagrank.bootstrap import Adapters, Models, wire
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors
from flagrank.ports import Completion, Prompt
from flagrank.serving.asgi import create_app
from flagrank.serving.http_event import answer_http
from flagrank.serving.plain_event import answered
from flagrank.serving.problems import MEDIA_TYPE
from flagrank.settings import Settings
from tests.wiring import ENVIRONMENT

type Event = Mapping[str, Any]


class Function:
    """What `functions.recommend.app` makes of an event, with the metrics of a deployed one."""

    def __init__(
        self,
        factors: Factors,
        flag: FlagDocument,
        answer: Callable[[Prompt], Completion],
        settings: Mapping[str, str] | None = None,
    ) -> None:
        clock = ManualClock()
        self.llm, self.clock = ScriptedLLM(answer), clock
        adapters = Adapters(
            InMemoryFactorStore(factors),
            InMemoryFlagSource(flag),
            InMemoryScoreCache(clock),
            Models(self.llm),
            InMemoryJudgementQueue(),
            EmfMetrics(),
            background=InlineExecutor(),
        )
        self.service = wire(Settings.from_env({**ENVIRONMENT, **(settings or {})}), adapters, clock)

    def handle(self, event: Event) -> dict[str, Any]:
        """The response to an event."""
        return answer_http(self._http, event, None)

    def recommend(self, **parameters: object) -> tuple[int, dict[str, Any]]:
        """Status and document of `GET /recommend`."""
        response = self.handle(event("GET", "/recommend", urlencode(parameters)))
        return response["statusCode"], document_of(response)

    def _http(self, event: Any, context: Any) -> dict[str, Any]:
        response = answered(event, self.service)
        return self._application(event, context) if response is None else response

    @functools.cached_property
    def _application(self) -> Mangum:
        return Mangum(create_app(self.service), lifespan="off", text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE])


def event(
    method: str, path: str, query: str = "", body: str | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """An event of API Gateway's HTTP API, payload format 2.0."""
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "tests"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": dict(headers or {}),
        "requestContext": {"http": http, "stage": "$default", "requestId": "test"},
        "isBase64Encoded": False,
        **({} if body is None else {"body": body}),
    }


def document_of(response: Mapping[str, Any]) -> dict[str, Any]:
    """A response's JSON."""
    body = response["body"]
    document: dict[str, Any] = orjson.loads(base64.b64decode(body) if response.get("isBase64Encoded") else body)
    return document


@contextmanager
def loop_for_mangum() -> Iterator[None]:
    """Mangum runs the application on the thread's own event loop."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()
