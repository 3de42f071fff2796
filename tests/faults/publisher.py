"""A publisher in a process of its own that dies at a chosen moment."""

import itertools
import os
import signal
from pathlib import Path
from typing import Any

from flagrank.offline.publishing.publish import publish
from tests.adapters.loopback import client


def run(folder: Path, url: str, bucket: str, calls: int | None) -> None:
    """Publishes; dies by SIGKILL before its next call to S3 once it has made so many, None: lives."""
    s3 = client("s3", url)
    made = itertools.count()

    def die_in_time(**_: Any) -> None:
        if next(made) == calls:
            os.kill(os.getpid(), signal.SIGKILL)

    s3.meta.events.register("before-send.s3", die_in_time)
    publish(folder, s3, bucket)
    # after the last call, which moves the pointer
    die_in_time()


def count_calls(folder: Path, url: str, bucket: str) -> int:
    """Publishes; gives how many calls to S3 that took."""
    s3, calls = client("s3", url), itertools.count()

    def count(**_: Any) -> None:
        next(calls)

    s3.meta.events.register("before-send.s3", count)
    publish(folder, s3, bucket)
    return next(calls)
