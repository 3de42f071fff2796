"""S3, DynamoDB, CloudWatch and SQS by moto, as an application like those of the other stand-ins."""

import functools
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from werkzeug.test import EnvironBuilder, run_wsgi_app

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]


class _Dispatcher(DomainDispatcherApplication):
    """moto's own, but for listing a folder at each request."""

    @functools.cached_property
    def get_backend_for_host(self) -> Any:
        return functools.cache(super().get_backend_for_host)


def create_app() -> Starlette:
    """The application, which answers one request after another.

    DynamoDB's updates are atomic, and moto's are a read and a write: of two at once one would be lost.
    """
    moto = _Dispatcher(create_backend_app)

    async def answer(request: Request) -> Response:
        asked = EnvironBuilder(
            method=request.method,
            path=request.url.path,
            query_string=request.url.query,
            headers=request.headers.items(),
            data=await request.body(),
        )
        chunks, status, headers = run_wsgi_app(moto, asked.get_environ(), buffered=True)
        answered = Response(b"".join(chunks), int(status.split()[0]))
        answered.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        return answered

    return Starlette(routes=[Route("/{path:path}", answer, methods=METHODS)])
