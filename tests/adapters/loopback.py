"""AWS answers over real HTTP on the loopback, so that the tests drive unmodified boto3 clients."""

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import boto3
import orjson
from botocore.config import Config

REGION = "eu-west-1"


def client(service: str, url: str, *, read_timeout_s: float = 5, connections: int = 8) -> Any:
    """A boto3 client of a loopback service: one attempt, like those of `aws_clients`."""
    config = Config(
        connect_timeout=2,
        read_timeout=read_timeout_s,
        retries={"total_max_attempts": 1},
        max_pool_connections=connections,
    )
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )


@dataclass(frozen=True)
class Call:
    """One request as it came over the wire."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """One response; `hang` keeps the client waiting until the server closes, `lost` bytes are promised and not sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    lost: int = 0


def failure(code: str, status: int) -> Answer:
    """An error in the shape that boto3 turns into a modelled exception."""
    return Answer(status, orjson.dumps({"message": f"told to answer {code}"}), {"x-amzn-errortype": code})


class Loopback:
    """A server whose every answer is `respond(call)`; a context manager, on a port of the system's choice."""

    def __init__(self, respond: Callable[[Call], Answer]) -> None:
        self.respond = respond
        self.calls: list[Call] = []
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops listening: from now on connections are refused."""
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                call = Call(
                    self.command,
                    self.path,
                    self.rfile.read(length),
                    {name.lower(): value for name, value in self.headers.items()},
                )
                loopback.calls.append(call)
                answer = loopback.respond(call)
                if answer.hang:
                    loopback._closing.wait()
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body) + answer.lost))
                self.end_headers()
                # a caller that has read enough hangs up
                with suppress(ConnectionError):
                    self.wfile.write(answer.body)
                self.close_connection = answer.lost > 0

            do_GET = do_POST = handle_any  # noqa: N815 - the names that http.server looks up

            def log_message(self, *_: object) -> None:
                """Keeps the test output clean."""

        return Handler


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# what a server has sent when it begins to drip, by what it drips then
DRIPPED_HEADS = {
    "status line": b"",
    "headers": _HEAD + b"X-Slow: ",
    "body": _HEAD + b"Content-Length: 1000000\r\n\r\n",
}


class Dripping:
    """A server that sends a head at once and then a byte every `every_s`, until the caller hangs up.

    Each caller gets the next of `heads`. With `tls` it speaks TLS under that certificate. `hung_up` is released by each
    caller that has hung up.
    """

    def __init__(self, *heads: bytes, every_s: float = 0.3, tls: ssl.SSLContext | None = None) -> None:
        self.hung_up = threading.Semaphore(0)
        self._heads = itertools.cycle(heads)
        self._every_s = every_s
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """Where it listens."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(caller, next(self._heads)), daemon=True).start()

    def _drip(self, caller: socket.socket, head: bytes) -> None:
        # a caller may hang up in the middle of anything
        with suppress(OSError), self._tls.wrap_socket(caller, server_side=True) if self._tls else caller as speaking:
            speaking.recv(65536)
            speaking.sendall(head)
            speaking.settimeout(self._every_s)
            while True:
                with suppress(TimeoutError):
                    if speaking.recv(65536) == b"":
                        break
                speaking.sendall(b"x")
        self.hung_up.release()


class AppConfigWire:
    """The data plane as the service keeps it: single-use tokens, an empty body when nothing changed."""

    def __init__(self) -> None:
        self.server = Loopback(self._respond)
        self.body: bytes = b""
        self.label: str | None = None
        self.next_poll_s = 15
        self.trouble: Answer | None = None
        self.sessions = 0
        self._is_damaging = self._is_cut_off = False
        self._tokens: dict[str, bytes] = {}
        self._issued = 0

    def deploy(self, body: bytes, label: str | None = None) -> None:
        """Puts a document into force."""
        self.body, self.label = body, label

    def forget_tokens(self) -> None:
        """Makes every token out there an expired one."""
        self._tokens.clear()

    def damage_next(self, *, is_cut_off: bool = False) -> None:
        """Leaves the last byte out of the next document that is sent; a connection that is cut off promised it."""
        self._is_damaging, self._is_cut_off = True, is_cut_off

    def polls(self) -> int:
        """How often the configuration was asked for."""
        return sum(call.path.startswith("/configuration?") for call in self.server.calls)

    def _respond(self, call: Call) -> Answer:
        if self.trouble is not None:
            return self.trouble
        if call.method == "POST":
            self.sessions += 1
            return Answer(201, orjson.dumps({"InitialConfigurationToken": self._issue(b"")}))
        token = call.path.partition("configuration_token=")[2]
        if token not in self._tokens:
            return failure("BadRequestException", 400)
        had, has = self._tokens.pop(token), self.body
        headers = {
            "Next-Poll-Configuration-Token": self._issue(has),
            "Next-Poll-Interval-In-Seconds": str(self.next_poll_s),
            "Content-Type": "application/json",
        }
        if self.label is not None:
            headers["Version-Label"] = self.label
        sent = b"" if has == had else has
        lost = 0
        if sent and self._is_damaging:
            sent, self._is_damaging, lost = sent[:-1], False, int(self._is_cut_off)
        return Answer(200, sent, headers, lost=lost)

    def _issue(self, known_body: bytes) -> str:
        self._issued += 1
        token = f"token-{self._issued}"
        self._tokens[token] = known_body
        return token


def chat_answer(text: str | None, finish_reason: str = "stop", **members: Any) -> Answer:
    """An OpenAI-compatible chat completion with this text, 11 input and 7 output tokens."""
    body = {
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        **members,
    }
    return Answer(200, orjson.dumps(body), {"Content-Type": "application/json"})


def converse_answer(content: list[dict[str, Any]], stop_reason: str = "end_turn") -> Answer:
    """A Converse response with these content blocks, 11 input and 7 output tokens."""
    body = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason,
        "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
        "metrics": {"latencyMs": 1},
    }
    return Answer(200, orjson.dumps(body), {"Content-Type": "application/json"})
