"""A total deadline for every call of a botocore client, whatever the service sends, and however slowly.

botocore and urllib3 bound each read alone, so that a service which sends a byte now and then keeps a thread for ever.
Here a call ends at one moment: the lookup of the name, connecting, the handshake, headers and body have what is left
until then. The moment is kept in the calling thread's context, and on the socket, whose body may be read later.

All of it waits in the caller's thread, so that at the deadline the thread is free and the connection closed. Not so
the lookup of a name, which nothing interrupts: it stays in a thread of its own until the resolver gives it up, and of
those each name has LOOKUPS at most. Credentials that botocore itself fetches over a network are not bounded here;
Lambda has them in its variables (infra/decisions/0090).
"""

import contextvars
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

LOOKUPS = 2

_ends_at_s: contextvars.ContextVar[float] = contextvars.ContextVar("ends_at_s", default=math.inf)
_lookups: dict[str, threading.BoundedSemaphore] = {}


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Ends the calls that this thread makes in the block after so many seconds, or where an outer block ends them."""
    token = _ends_at_s.set(min(_ends_at_s.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at_s.reset(token)


def limit_calls(client: Any, total_s: float) -> None:
    """Gives each attempt of each call of a botocore client at most `total_s`."""
    limit = {"total_s": total_s}
    # botocore has no setting for it; the session shares this mapping with the managers of its pools and its proxies'
    client._endpoint.http_session._pool_classes_by_scheme.update(
        http=type("TimedPool", (_TimedPool, AWSHTTPConnectionPool), {"ConnectionCls": _Connection, **limit}),
        https=type("TimedTLSPool", (_TimedPool, AWSHTTPSConnectionPool), {"ConnectionCls": _TLSConnection, **limit}),
    )


class _TimedPool:
    total_s: float

    def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        with within(self.total_s):
            return super().urlopen(*args, **kwargs)  # type: ignore[misc]


class _TimedSocket(socket.socket):
    """A socket each of whose operations has its timeout, and at most what is left until `ends_at_s`."""

    ends_at_s = math.inf
    timeout_s: float | None = None

    def settimeout(self, value: float | None) -> None:
        self.timeout_s = value
        super().settimeout(value)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self._hurry()
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self._hurry()
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._hurry()
        super().sendall(*args, **kwargs)

    def _hurry(self) -> None:
        left_s = self.ends_at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the call's deadline is past")
        super().settimeout(min(left_s, math.inf if self.timeout_s is None else self.timeout_s))


class _TimedTLSSocket(_TimedSocket, ssl.SSLSocket):
    """The same over TLS, where one read may take many of the socket's."""


class _Timed:
    """Makes a connection's socket one that knows the deadline of the call that uses it."""

    sock: Any
    ssl_context: ssl.SSLContext | None

    def connect(self) -> None:
        if getattr(self, "ssl_context", None) is not None:
            self.ssl_context.sslsocket_class = _TimedTLSSocket  # type: ignore[union-attr]
        super().connect()  # type: ignore[misc]
        self.sock.ends_at_s = _ends_at_s.get()

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.sock.ends_at_s = _ends_at_s.get()
        super().request(*args, **kwargs)  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        host, port, timeout_s = self._dns_host.strip("[]"), self.port, self.timeout  # type: ignore[attr-defined]
        failure: OSError = OSError("the name has no address")
        try:
            for family, kind, protocol, _, address in _addresses(host, port):
                try:
                    return _connected(_TimedSocket(family, kind, protocol), address, timeout_s, self.socket_options)  # type: ignore[attr-defined]
                except OSError as error:
                    failure = error
            raise failure
        except socket.gaierror as error:
            raise NameResolutionError(host, self, error) from error  # type: ignore[arg-type]
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {host}: {error}") from error  # type: ignore[arg-type]


class _Connection(_Timed, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _TLSConnection(_Timed, AWSHTTPSConnection):  # type: ignore[misc]
    pass


def _left_s() -> float:
    left_s = _ends_at_s.get() - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the call's deadline is past")
    return min(left_s, threading.TIMEOUT_MAX)


def _connected(made: _TimedSocket, address: Any, timeout_s: float, options: Any) -> _TimedSocket:
    try:
        for option in options or ():
            made.setsockopt(*option)
        made.ends_at_s = _ends_at_s.get()
        made.settimeout(min(timeout_s, _left_s()))
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def _addresses(host: str, port: int) -> Any:
    """What the resolver says, within what is left; raises TimeoutError, and OSError as getaddrinfo does."""
    free = _lookups.setdefault(host, threading.BoundedSemaphore(LOOKUPS))
    if not free.acquire(timeout=_left_s()):
        raise TimeoutError(f"other lookups of {host} are not answered")
    found: Future[Any] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:
            found.set_exception(error)
        finally:
            free.release()

    # a daemon, since no process must wait at its end for a resolver
    threading.Thread(target=look_up, name="lookup", daemon=True).start()
    return found.result(_left_s())
