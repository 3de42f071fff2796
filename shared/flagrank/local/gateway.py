"""API Gateway and Lambda's scheduling: HTTP in, version 2.0 events to free environments, HTTP out."""

import asyncio
import base64
import datetime as dt
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
TEXT_TYPES = ("text/", "application/json", "application/x-www-form-urlencoded", "application/xml")
LINE_LIMIT = 16 * 1024 * 1024
INIT_S = 30.0
ERROR_BODY = b'{"message":"Internal Server Error"}'

type TakeLine = Callable[[bytes], None]


class EnvironmentEnded(Exception):
    """The environment died, or overran the function's timeout and was ended."""


class Environment:
    """One worker process, after its init phase."""

    def __init__(
        self, process: asyncio.subprocess.Process, results: asyncio.StreamReader, output: asyncio.Task[None]
    ) -> None:
        self._process = process
        self._results = results
        self._output = output

    @classmethod
    async def start(cls, variables: Mapping[str, str], take_line: TakeLine) -> "Environment":
        """Starts a worker and waits for its init phase; raises EnvironmentEnded with the handler's own error."""
        read_end, write_end = os.pipe()
        command = (sys.executable, "-m", "flagrank.local.environment", str(write_end))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, env=dict(variables), pass_fds=[write_end], start_new_session=True
        )
        os.close(write_end)
        results = asyncio.StreamReader(LINE_LIMIT)
        reader = asyncio.StreamReaderProtocol(results)
        await asyncio.get_running_loop().connect_read_pipe(lambda: reader, os.fdopen(read_end, "rb"))
        assert process.stdout is not None
        environment = cls(process, results, asyncio.create_task(_each_line(process.stdout, take_line)))
        answer = await environment._receive(INIT_S)
        if "ready" not in answer:
            await environment.stop()
            raise EnvironmentEnded(f"{answer['errorType']}: {answer['errorMessage']}")
        return environment

    async def invoke(self, event: Mapping[str, Any], request_id: str, timeout_s: float) -> dict[str, Any]:
        """The handler's result or error document; raises EnvironmentEnded if there is none in time."""
        assert self._process.stdin is not None
        invocation = {"request_id": request_id, "timeout_s": timeout_s, "event": event}
        try:
            self._process.stdin.write(json.dumps(invocation).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EnvironmentEnded("the environment died") from error
        return await self._receive(timeout_s)

    async def stop(self, *, now: bool = False) -> None:
        """Ends the worker; `now` without letting it finish."""
        if now and self._process.returncode is None:
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._output

    async def _receive(self, timeout_s: float) -> dict[str, Any]:
        try:
            line = await asyncio.wait_for(self._results.readline(), timeout_s)
        except TimeoutError as error:
            raise EnvironmentEnded(f"Task timed out after {timeout_s:.2f} seconds") from error
        if not line:
            raise EnvironmentEnded("Runtime exited")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Pool:
    """Environments that take turns: the one used last is used next, as Lambda does, so idle ones stay idle."""

    def __init__(self, variables: Mapping[str, str], size: int, timeout_s: float, take_line: TakeLine) -> None:
        self._variables = variables
        self._size = size
        self._timeout_s = timeout_s
        self._take_line = take_line
        self._free: asyncio.LifoQueue[Environment] = asyncio.LifoQueue()
        self._all: set[Environment] = set()

    async def start(self) -> None:
        """Starts every environment; raises EnvironmentEnded if one cannot."""
        for environment in await asyncio.gather(*(self._environment() for _ in range(self._size))):
            self._free.put_nowait(environment)

    async def stop(self) -> None:
        """Ends every environment."""
        await asyncio.gather(*(environment.stop() for environment in self._all))

    async def invoke(self, event: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        """The function's result, waiting for a free environment; one that ended is replaced."""
        environment = await self._free.get()
        try:
            answer = await environment.invoke(event, request_id, self._timeout_s)
        except EnvironmentEnded as error:
            self._take_line(f"{request_id} {error}\n".encode())
            self._all.discard(environment)
            await environment.stop(now=True)
            self._free.put_nowait(await self._environment())
            raise
        self._free.put_nowait(environment)
        return answer

    async def _environment(self) -> Environment:
        environment = await Environment.start(self._variables, self._take_line)
        self._all.add(environment)
        return environment


def create_app(pool: Pool, local: Mapping[str, Any], on_started: Callable[[], None]) -> Starlette:
    """The gateway over a pool; `local` is what `GET /_local` tells the command line about this local cloud."""
    numbers = itertools.count(1)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await pool.start()
        on_started()
        yield
        await pool.stop()

    async def show_local(_: Request) -> Response:
        return Response(json.dumps(local), media_type="application/json")

    async def show_env_vars(_: Request) -> Response:
        return Response(json.dumps({"RecommendFunction": local["environment"]}), media_type="application/json")

    async def forward(request: Request) -> Response:
        request_id = f"local-{next(numbers):012d}"
        event = http_event(request, await request.body(), request_id)
        try:
            answer = await pool.invoke(event, request_id)
        except EnvironmentEnded:
            return _internal_error()
        result = answer.get("result")
        return http_response(result) if isinstance(result, dict) else _internal_error()

    routes = [
        Route("/_local", show_local),
        Route("/_local/env-vars", show_env_vars),
        Route("/{path:path}", forward, methods=METHODS),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def http_event(request: Request, body: bytes, request_id: str) -> dict[str, Any]:
    """The request as an HTTP API event, payload format 2.0.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        query[name] = f"{query[name]},{value}" if name in query else value
    now_s = time.time()
    stamp = dt.datetime.fromtimestamp(now_s, dt.UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.url.path,
        "rawQueryString": request.url.query,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": request.url.netloc,
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": request.url.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.client.host if request.client else "127.0.0.1",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": stamp,
            "timeEpoch": int(now_s * 1000),
        },
        "isBase64Encoded": False,
    }
    if query:
        event["queryStringParameters"] = query
    if body:
        is_text = headers.get("content-type", "").startswith(TEXT_TYPES)
        event["isBase64Encoded"] = not is_text
        event["body"] = body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode()
    return event


def http_response(result: Mapping[str, Any]) -> Response:
    """The function's result as HTTP; a bare document becomes a 200 with itself as JSON, as API Gateway does."""
    if "statusCode" not in result:
        return Response(json.dumps(result), media_type="application/json")
    body = result.get("body") or ""
    content = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
    response = Response(content, result["statusCode"], dict(result.get("headers") or {}))
    for cookie in result.get("cookies") or ():
        response.headers.append("set-cookie", cookie)
    return response


def _internal_error() -> Response:
    return Response(ERROR_BODY, 500, media_type="application/json")


async def _each_line(stream: asyncio.StreamReader, take_line: TakeLine) -> None:
    while line := await stream.readline():
        take_line(line)
