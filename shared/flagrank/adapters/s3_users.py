"""The users' files in S3, read by range while a request waits."""

import functools
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flagrank.domain import UserProblem
from flagrank.errors import UsersUnavailable
from flagrank.model.artifacts import USERS

# a read that was given up on keeps its thread until the client's own timeout
THREADS = 4


class S3UserStore:
    """A ranged read each. `client_for` makes the client, whose timeouts end what the caller no longer waits for.

    It is made by the first read, or by `prepare`: an environment whose set is in memory needs none.
    """

    def __init__(
        self, client_for: Callable[[], Any], bucket: str, *, prefix: str = "factors", executor: Executor | None = None
    ) -> None:
        self._client = functools.cache(client_for)
        self._bucket = bucket
        self._prefix = prefix
        self._executor = executor or ThreadPoolExecutor(THREADS, "user")

    def prepare(self) -> None:
        """Makes the client while nobody waits."""
        self._client()

    def read(self, version: str, start: int, size: int, timeout_ms: float) -> bytes:
        """That part of the version's users' file; raises UsersUnavailable."""
        waiting = self._executor.submit(self._read, version, start, size)
        try:
            return waiting.result(timeout_ms / 1000)
        except TimeoutError as error:
            waiting.cancel()
            raise UsersUnavailable(UserProblem.LATE, f"S3 took more than {timeout_ms:.0f} ms") from error

    def _read(self, version: str, start: int, size: int) -> bytes:
        client = self._client()
        key = f"{self._prefix}/{version}/{USERS}"
        try:
            answer = client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={start}-{start + size - 1}")
            data: bytes = answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise UsersUnavailable(UserProblem.UNREADABLE, str(error)) from error
        if len(data) != size:
            raise UsersUnavailable(UserProblem.UNREADABLE, f"{len(data)} bytes of {size}")
        return data
