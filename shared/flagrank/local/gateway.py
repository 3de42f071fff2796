"""The gateway: HTTP in, events to the function's environments, HTTP out."""

import itertools
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flagrank.local.http_api import JSON_TYPE, http_event, http_response, internal_error
from flagrank.local.observed import METRICS, Observed
from flagrank.local.pool import EnvironmentEnded, Pool

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]


def create_app(pool: Pool, local: Mapping[str, Any], figures: Observed) -> Starlette:
    """The gateway over a running pool; `local` is what `GET /_local` tells the command line about this local cloud.

    `GET /_local/figures?since_s=&until_s=` tells both arms' figures of that time, in epoch seconds.
    `GET /_local/requests?metric=` tells the newest requests that a metric counted, and
    `GET /_local/series?since_s=` every metric in steps of ten seconds.
    """
    numbers = itertools.count(1)

    async def show_local(_: Request) -> Response:
        return Response(orjson.dumps(local), media_type=JSON_TYPE)

    async def show_env_vars(_: Request) -> Response:
        variables = dict.fromkeys(("RecommendFunction", "WarmFunction"), local["environment"])
        return Response(orjson.dumps(variables), media_type=JSON_TYPE)

    async def forward(request: Request) -> Response:
        request_id = f"local-{next(numbers):012d}"
        event = http_event(request, await request.body(), request_id)
        try:
            answer = await pool.invoke(event, request_id)
        except EnvironmentEnded:
            return internal_error()
        return http_response(answer["result"]) if "result" in answer else internal_error()

    return Starlette(
        routes=[
            Route("/_local", show_local),
            Route("/_local/env-vars", show_env_vars),
            *_figures_routes(figures),
            Route("/{path:path}", forward, methods=METHODS),
        ]
    )


def _figures_routes(figures: Observed) -> list[Route]:
    async def show_figures(request: Request) -> Response:
        try:
            since_s, until_s = (float(request.query_params[name]) for name in ("since_s", "until_s"))
        except (KeyError, ValueError):
            return Response("since_s and until_s are epoch seconds", 400)
        # hours of figures take a while: not on the loop that serves
        arms = await run_in_threadpool(figures.read, since_s, until_s)
        return Response(orjson.dumps(arms.document()), media_type=JSON_TYPE)

    async def show_series(request: Request) -> Response:
        try:
            since_s = float(request.query_params["since_s"])
        except (KeyError, ValueError):
            return Response("since_s is epoch seconds", 400)
        document = await run_in_threadpool(figures.series.document, since_s)
        return Response(orjson.dumps(document), media_type=JSON_TYPE)

    async def show_requests(request: Request) -> Response:
        metric = request.query_params.get("metric", "")
        if metric not in METRICS:
            return Response(f"metric is one of {', '.join(sorted(METRICS))}", 400)
        return Response(orjson.dumps(figures.newest(metric), option=orjson.OPT_INDENT_2), media_type=JSON_TYPE)

    return [
        Route("/_local/figures", show_figures),
        Route("/_local/requests", show_requests),
        Route("/_local/series", show_series),
    ]
