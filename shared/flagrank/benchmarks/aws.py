"""A client of the local cloud's stand-in for AWS, whose CPU is not that of the process which measures."""

import contextlib
from collections.abc import Iterator
from typing import Any

from flagrank.local import clients
from flagrank.local.cloud import CREDENTIALS, REGION
from flagrank.local.processes import StandIn
from flagrank.local.serve import HOST


@contextlib.contextmanager
def aws_client(service: str) -> Iterator[Any]:
    """A client of a service, such as `s3`, that is empty at first and ends with the block."""
    stand_in = StandIn("aws", HOST, {})
    try:
        stand_in.wait()
        yield clients.client(service, {"AWS_ENDPOINT_URL": stand_in.url, "AWS_REGION": REGION, **CREDENTIALS})
    finally:
        stand_in.stop()
