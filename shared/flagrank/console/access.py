"""Who may talk to the console: a browser of this machine that was given the address, and no page of anybody else's."""

import secrets
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READS = frozenset({"GET", "HEAD"})
HEADERS = {
    # nothing is loaded from elsewhere, nothing inline runs, and no other page can frame this one
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # the token stays here; with no-referrer a browser would send the page's own forms with the origin `null`
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class LoopbackOnly:
    """Refuses what does not come from the console's own page: ASGI middleware around its application.

    `hosts` are the Host headers under which it is reached: another one means that somebody's name was made to point
    here (DNS rebinding). What changes something must name one of them as its Origin. The token is the first part of
    every path: who does not know it finds nothing.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a refusal, or lets the application answer."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("host") not in self._hosts:
            return PlainTextResponse("this console is reached at its loopback address alone", 421)
        origin = request.headers.get("origin")
        if origin not in self._origins if origin is not None else request.method not in READS:
            return PlainTextResponse("only this console's own pages may ask for that", 403)
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("only this console's own pages may ask for that", 403)
        given = request.url.path.split("/")[1]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse("not found: the address that `flagrank console` printed has a token", 404)
        return None
