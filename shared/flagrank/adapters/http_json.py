"""JSON over HTTP to a provider of our own choice: one attempt, and a timeout for all of it.

httpx bounds each read alone, so that a server which sends a byte a second keeps a thread for ever (encode/httpx#1450).
Its asynchronous client can be cancelled whatever it waits for, which closes the connection; so the calls run on one
event loop in a thread of its own, and the callers wait for their results.
"""

import asyncio
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import orjson
from pydantic import BaseModel, ValidationError

from flagrank.errors import (
    FlagrankError,
    LLMRejected,
    LLMThrottled,
    LLMUnavailable,
    RerankError,
    RerankTimeout,
    UnknownRerankError,
)

CONNECT_TIMEOUT_S = 1.0
MAX_BODY_BYTES = 1024 * 1024

# the first that an error is an instance of
ERRORS: tuple[tuple[type[Exception], type[RerankError]], ...] = (
    (httpx.TimeoutException, RerankTimeout),
    (TimeoutError, RerankTimeout),
    (httpx.UnsupportedProtocol, LLMRejected),
    (httpx.InvalidURL, LLMRejected),
    (httpx.TooManyRedirects, LLMRejected),
    (httpx.HTTPError, LLMUnavailable),
    # misuse of a response or a cookie jar, which only a bug in this module can bring about
    (httpx.StreamError, UnknownRerankError),
    (httpx.CookieConflict, UnknownRerankError),
)
# what a provider may say of an error: a word of its own, and never a sentence, which may quote the key or the prompt
_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}")


class Key(Protocol):
    """What authorises a call."""

    def headers(self, max_wait_s: float) -> Mapping[str, str]:
        """The headers to send, after at most `max_wait_s`; raises the leaves of RerankError."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete response of a provider."""

    status: int
    body: bytes


class JsonService:
    """One service under a base URL. `connections` bounds the calls at a time."""

    def __init__(self, base_url: str, key: Key, connections: int) -> None:
        self.base_url = base_url
        self._key = key
        self._connections = connections
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None
        self._thread: threading.Thread | None = None

    def post(self, path: str, body: Mapping[str, Any], timeout_s: float) -> HttpResponse:
        """The response, whatever its status; raises the leaves of RerankError if there is none within `timeout_s`."""
        ends_at_s = time.monotonic() + timeout_s
        headers = {"Content-Type": "application/json", **self._key.headers(timeout_s)}
        with translated():
            loop, client = self._started()
            request = client.build_request("POST", self.base_url + path, content=orjson.dumps(body), headers=headers)
            return asyncio.run_coroutine_threadsafe(_send(client, request, ends_at_s - time.monotonic()), loop).result()

    def close(self) -> None:
        """Ends the connections and the thread. The next call starts both again."""
        with self._lock:
            if self._loop is None or self._client is None or self._thread is None:
                return
            asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._client = self._thread = None

    def _started(self) -> tuple[asyncio.AbstractEventLoop, httpx.AsyncClient]:
        # at the first call and not before: threads and connections do not survive a snapshot
        with self._lock:
            if self._loop is None or self._client is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
                self._thread.start()
                self._client = httpx.AsyncClient(
                    timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
                    limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
                )
            return self._loop, self._client


async def _send(client: httpx.AsyncClient, request: httpx.Request, timeout_s: float) -> HttpResponse:
    async with asyncio.timeout(timeout_s):
        response = await client.send(request, stream=True)
        body = bytearray()
        try:
            # to the end, since a stream that is left in the middle cannot be closed cleanly; the timeout ends it
            async for chunk in response.aiter_bytes():
                if len(body) <= MAX_BODY_BYTES:
                    body += chunk
        finally:
            await response.aclose()
        if len(body) > MAX_BODY_BYTES:
            raise LLMUnavailable(f"the answer is longer than {MAX_BODY_BYTES} bytes")
        return HttpResponse(response.status_code, bytes(body))


@contextmanager
def translated() -> Iterator[None]:
    """Turns whatever a call raises into a leaf of RerankError, an unforeseen one into UnknownRerankError."""
    try:
        yield
    except FlagrankError:
        raise
    except Exception as error:
        leaf = next((leaf for kind, leaf in ERRORS if isinstance(error, kind)), UnknownRerankError)
        raise leaf(f"{type(error).__name__}: {error}") from error


def document_of[M: BaseModel](kind: type[M], reply: HttpResponse) -> M:
    """The document of a good response.

    Raises the error that any other stands for, and UnknownRerankError, without the text, for one that is none of the
    API's.
    """
    if error := refusal(reply):
        raise error
    try:
        return kind.model_validate_json(reply.body)
    except ValidationError:
        raise UnknownRerankError("the answer is none of the API's") from None


def refusal(reply: HttpResponse) -> RerankError | None:
    """The error that a response stands for, None for a good one."""
    if 200 <= reply.status < 300:
        return None
    return _leaf(reply.status)(f"HTTP {reply.status}{_words(reply.body)}")


def _leaf(status: int) -> type[RerankError]:
    if status == 429:
        return LLMThrottled
    if status == 408:
        return RerankTimeout
    if status >= 500:
        return LLMUnavailable
    # a redirect as well: the base URL is wrong, and a key is not sent after it
    return LLMRejected if status >= 300 else UnknownRerankError


def _words(body: bytes) -> str:
    try:
        error = orjson.loads(body)["error"]
        words = [error[name] for name in ("type", "code") if isinstance(error.get(name), str)]
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""
    return "".join(f" {word}" for word in words if _WORD.fullmatch(word))
