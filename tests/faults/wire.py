"""HTTP/1.1 messages as bytes on a stream: just enough to pass them on, or to spoil them."""

import asyncio
from dataclasses import dataclass, field

HEAD_LIMIT = 256 * 1024


@dataclass(slots=True)
class Message:
    """A request or a response: its first line, its headers by lower-case name, and its whole body."""

    start: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def encoded(self) -> bytes:
        """The message with its length in front."""
        headers = {**self.headers, "content-length": str(len(self.body))}
        lines = [self.start, *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Message | None:
    """The next request, None where the caller hung up; a caller that waits for leave to send its body gets it."""
    message = await _read_head(reader)
    if message is not None:
        if message.headers.pop("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        message.body = await _read_body(reader, message, to_the_end=False)
    return message


async def read_response(reader: asyncio.StreamReader, method: str) -> Message | None:
    """The response to a request of this method, None where the service hung up."""
    message = await _read_head(reader)
    if message is not None and method != "HEAD":
        message.body = await _read_body(reader, message, to_the_end=True)
    return message


async def _read_head(reader: asyncio.StreamReader) -> Message | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Message(start, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def _read_body(reader: asyncio.StreamReader, message: Message, *, to_the_end: bool) -> bytes:
    if message.headers.pop("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    length = message.headers.get("content-length")
    if length is not None:
        return await reader.readexactly(int(length))
    has_none = not to_the_end or message.start.split()[1] in ("204", "304")
    return b"" if has_none else await reader.read()


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readline()).partition(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readline()
    while await reader.readline() not in (b"\r\n", b""):
        continue
    return b"".join(chunks)
