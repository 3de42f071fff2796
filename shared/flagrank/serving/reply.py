"""What goes back over HTTP, whoever sends it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """A response; the names of `headers` are in lower case."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def for_gateway(reply: Reply) -> dict[str, Any]:
    """The reply as a Lambda function answers API Gateway (payload format 2.0)."""
    headers = {**reply.headers, "content-length": str(len(reply.body)), "content-type": reply.media_type}
    return {"statusCode": reply.status, "body": reply.body.decode(), "headers": headers, "isBase64Encoded": False}
