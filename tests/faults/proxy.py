"""`python -m tests.faults.proxy NAMES`: a port of its own in front of each service, which misbehaves as it is told to.

Takes a JSON object a line on standard input and answers each with a line: `upstream` says where the service `name` is,
`fault` what it does from now on, `delay_s` how late a late answer is. Ends when standard input does. A response that
is under way keeps the fault that it began with: what drips, drips on after the fault's end.
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.faults.fault import DRIPS_S, REFUSALS, Fault
from tests.faults.wire import HEAD_LIMIT, Message, read_request, read_response

HOST = "127.0.0.1"
# an open socket whose peer is reset, not waved good-bye
ABORTIVE = struct.pack("ii", 1, 0)
UNREACHABLE = (Fault.REFUSED, Fault.NO_NAME)


@dataclass
class Door:
    """The port in front of one service. `calls` counts the requests that came."""

    name: str
    port: int = 0
    upstream: str = ""
    fault: Fault = Fault.NONE
    delay_s: float = 0.0
    calls: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def listen(self) -> None:
        """Takes connections, at the same port each time."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=HEAD_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def misbehave(self, fault: Fault, delay_s: float) -> None:
        """Puts a fault into force."""
        self.fault, self.delay_s = fault, delay_s
        if fault in UNREACHABLE:
            for writer in self._open.copy():
                _reset(writer)
        is_closed = self._server is None
        if fault is Fault.REFUSED and self._server is not None:
            self._server.close()
            self._server = None
        elif fault is not Fault.REFUSED and is_closed:
            await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        service = _Upstream(self)
        try:
            while (request := await read_request(reader, writer)) is not None:
                self.calls += 1
                if not await self._answer(request, service, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            # either side went away in mid-message
            return
        finally:
            self._open.discard(writer)
            service.close()
            writer.close()

    async def _answer(self, request: Message, service: "_Upstream", writer: asyncio.StreamWriter) -> bool:
        """Answers; False where the connection is of no more use."""
        fault = self.fault
        if fault in REFUSALS:
            writer.write(_refusal(fault, is_xml=self.name == "s3").encoded())
            return True
        response = await service.ask(request)
        is_head = request.start.startswith("HEAD ")
        content = _head_of(response) if is_head else _spoiled(response, fault).encoded()
        if fault is Fault.SLOW:
            await asyncio.sleep(self.delay_s)
        if fault is Fault.RESET:
            writer.write(content[: len(content) - max(1, len(response.body) // 2)])
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            _reset(writer)
            return False
        if fault in DRIPS_S:
            await _drip(writer, content, DRIPS_S[fault])
            return True
        writer.write(content)
        await writer.drain()
        return True


class _Upstream:
    """One connection to the service behind a door, made when it is first needed."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Message) -> Message:
        """The service's response; one that hung up between two requests is connected to anew."""
        for _ in range(2):
            if self._streams is None:
                at = urlsplit(self._door.upstream)
                self._streams = await asyncio.open_connection(at.hostname, at.port, limit=HEAD_LIMIT)
            reader, writer = self._streams
            writer.write(request.encoded())
            response = await read_response(reader, request.start.split()[0])
            if response is not None:
                return response
            self.close()
        raise ConnectionResetError("the service hung up")

    def close(self) -> None:
        """Ends the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _refusal(fault: Fault, *, is_xml: bool) -> Message:
    status, code, headers = REFUSALS[fault]
    if is_xml:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told to</Message></Error>".encode()
        return Message(f"HTTP/1.1 {status} Told", {"content-type": "application/xml", **headers}, body)
    body = json.dumps({"__type": code, "message": "told to"}).encode()
    return Message(
        f"HTTP/1.1 {status} Told", {"content-type": "application/json", "x-amzn-errortype": code, **headers}, body
    )


def _head_of(response: Message) -> bytes:
    # the length that a GET would have
    return "\r\n".join([response.start, *(f"{k}: {v}" for k, v in response.headers.items())]).encode() + b"\r\n\r\n"


def _truncated(response: Message) -> Message:
    return Message(response.start, response.headers, response.body[: len(response.body) // 2])


def _corrupted(response: Message) -> Message:
    body, middle = bytearray(response.body), len(response.body) // 2
    if body:
        body[middle] ^= 1
    return Message(response.start, {**response.headers, "x-amz-crc32": "1"}, bytes(body))


def _of_another_shape(response: Message) -> Message:
    headers = {name: value for name, value in response.headers.items() if name != "x-amz-crc32"}
    return Message(response.start, headers, b'{"unexpected": [1, {"a": null}], "Responses": 7, "output": "text"}')


SPOILED: dict[Fault, Callable[[Message], Message]] = {
    Fault.TRUNCATED: _truncated,
    Fault.CORRUPTED: _corrupted,
    Fault.WRONG_SHAPE: _of_another_shape,
}


def _spoiled(response: Message, fault: Fault) -> Message:
    return SPOILED[fault](response) if fault in SPOILED else response


async def _drip(writer: asyncio.StreamWriter, content: bytes, every_s: float) -> None:
    for byte in content:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(every_s)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTIVE)
    writer.transport.abort()


async def _run(names: list[str]) -> None:
    doors = {name: Door(name) for name in names}
    for door in doors.values():
        await door.listen()
    _tell({name: door.port for name, door in doors.items()})
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        door = doors[command["name"]]
        door.upstream = command.get("upstream", door.upstream)
        if "fault" in command:
            await door.misbehave(Fault(command["fault"]), command.get("delay_s", 0.0))
        _tell({"calls": door.calls})


def _tell(document: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1:]))
