"""Factors in S3: verified before they serve, reloaded in the background, and never dropped on doubt."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from flagrank.adapters.deadlines import within
from flagrank.errors import ArtifactError, FactorsUnavailable
from flagrank.model.artifacts import MANIFEST, POINTER, USERS, Manifest, Pointer, parse_manifest
from flagrank.model.factors import Factors
from flagrank.model.validation import validate
from flagrank.ports import Clock, ReloadCounts

PREFIX = "factors"
PART_BYTES = 8 * 1024 * 1024
# some sixteen thousand users of 64 factors: as much as one of the items' files
USERS_IN_MEMORY_BYTES = 8 * 1024 * 1024
PARALLEL_PARTS = 8
RETRY_S = 1.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long a part of a file is, and how long a users' file may be to be held in memory; None for any length."""

    part_bytes: int = PART_BYTES
    users_in_memory_bytes: int | None = USERS_IN_MEMORY_BYTES


DEFAULT_SIZES = Sizes()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in s: for the first factors, whose load then goes on, and for a read, whatever S3 sends.

    A part of a file may take twice as long as a small read. In a request that is 16 MiB/s for all parts together.
    """

    first_wait_s: float = 4.0
    read_within_s: float = 2.0


IN_A_REQUEST = Patience()
# for who judges ahead of the requests, maybe from a laptop
BEHIND_THE_REQUESTS = Patience(first_wait_s=600.0, read_within_s=60.0)


class S3FactorStore:
    """The version that `factors/current.json` names. `poll_s` bounds how late a new pointer is noticed."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        clock: Clock,
        poll_s: float = 60,
        sizes: Sizes = DEFAULT_SIZES,
        *,
        executor: Executor | None = None,
        patience: Patience = IN_A_REQUEST,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._clock = clock
        self._poll_s = poll_s
        self._part_bytes = sizes.part_bytes
        self._users_in_memory_bytes = sizes.users_in_memory_bytes
        self._patience = patience
        self._background = executor or ThreadPoolExecutor(1, "factors")
        self._parts = ThreadPoolExecutor(PARALLEL_PARTS, "factors-part")
        self._lock = threading.Lock()
        self._factors: Factors | None = None
        self._problem = f"s3://{bucket}/{PREFIX}: not read yet"
        self._checked_at = 0.0
        self._due_at = 0.0
        self._checking = False
        self._check_begun: Future[None] | None = None
        self._reloads = ReloadCounts()
        self._prepare: Callable[[Factors], object] | None = None

    def prepare_with(self, prepare: Callable[[Factors], object]) -> None:
        """Lets `prepare` see each set once it is warm and before it serves, so that no request waits for that work."""
        self._prepare = prepare

    def current(self) -> Factors:
        """The factors in force; waits a little for the first ones, raises FactorsUnavailable while there are none."""
        self.load(self._patience.first_wait_s)
        if self._factors is None:
            raise FactorsUnavailable(self._problem)
        return self._factors

    def load(self, max_wait_s: float) -> None:
        """Begins to look for newer factors when that is due. Waits so long while there are none, and raises nothing."""
        now = self._clock.now()
        with self._lock:
            # a clock that was set back must not put the next look off
            is_due = (now >= self._due_at or now < self._checked_at) and not self._checking
            if is_due:
                self._checking, self._checked_at = True, now
        if is_due:
            self._check_begun = self._background.submit(self._check, now)
        if self._factors is None and self._check_begun is not None:
            wait([self._check_begun], max_wait_s)

    def drain_reloads(self) -> ReloadCounts:
        """What became of the reloads since this was last asked."""
        with self._lock:
            reloads, self._reloads = self._reloads, ReloadCounts()
        return reloads

    def _check(self, begun_at: float) -> None:
        try:
            self._load_if_changed()
        except Exception as error:  # the old factors must outlive any doubt, and a background check has no caller
            with self._lock:
                self._reloads = replace(self._reloads, failed=self._reloads.failed + 1)
            self._problem = f"s3://{self._bucket}/{PREFIX}: {error}"
            known = isinstance(error, ArtifactError | ValidationError | BotoCoreError | ClientError)
            logger.warning("factors were not loaded: %s", self._problem, exc_info=not known)
        finally:
            with self._lock:
                # counted from the beginning: what a load takes must not put the next look off
                has_some = self._factors is not None
                self._due_at = begun_at + self._poll_s if has_some else self._clock.now() + RETRY_S
                self._checking = False

    def _load_if_changed(self) -> None:
        pointer = Pointer.model_validate_json(self._whole(POINTER))
        if self._factors is not None and self._factors.version == pointer.version:
            return
        try:
            self._load(pointer.version)
        except BotoCoreError:
            # whoever cannot reach S3 reaches no other version there
            raise
        except Exception as error:  # even a set that meets a bug is one that this environment cannot serve
            if self._factors is not None or pointer.previous is None:
                raise
            self._fall_back(pointer.version, pointer.previous, error)

    def _fall_back(self, version: str, previous: str, error: Exception) -> None:
        """For a new environment: what the others still serve is better than nothing; raises `error` if that fails."""
        logger.warning(
            "factors %s cannot be served, %s; trying %s, which was in force before", version, error, previous
        )
        try:
            self._load(previous)
        except Exception as second:
            logger.warning("nor can factors %s: %s", previous, second)
            raise error from second
        with self._lock:
            self._reloads = replace(self._reloads, failed=self._reloads.failed + 1)

    def _load(self, version: str) -> None:
        manifest = parse_manifest(bytes(self._whole(f"{version}/{MANIFEST}")))
        if manifest.version != version:
            raise ArtifactError(f"the manifest under {version} is of {manifest.version}")
        loaded = validate(
            manifest,
            lambda name: self._file(f"{version}/{name}", manifest.files[name].size),
            keep_users=self._keeps_users(manifest),
        )
        if self._prepare is not None:
            self._prepare(loaded)
        with self._lock:
            if self._factors is not None:
                self._reloads = replace(self._reloads, loaded=self._reloads.loaded + 1)
            self._factors = loaded
        logger.info("factors %s are in force", loaded.version)

    def _keeps_users(self, manifest: Manifest) -> bool:
        users, limit = manifest.files.get(USERS), self._users_in_memory_bytes
        return users is None or limit is None or users.size <= limit

    def _file(self, name: str, size: int) -> bytes | bytearray:
        if size <= self._part_bytes:
            return self._whole(name, size)
        with self._within(0):
            found = self._client.head_object(Bucket=self._bucket, Key=self._key(name))
        if found["ContentLength"] != size:
            raise ArtifactError(f"{name}: {found['ContentLength']} bytes, promised {size}")
        buffer, etag = bytearray(size), found["ETag"]
        starts = range(0, size, self._part_bytes)
        list(
            self._parts.map(
                lambda start: self._part(name, etag, memoryview(buffer)[start : start + self._part_bytes], start),
                starts,
            )
        )
        return buffer

    def _whole(self, name: str, size: int = 0) -> bytes:
        with self._within(size):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
            except self._client.exceptions.NoSuchKey as error:
                raise ArtifactError(f"{name} does not exist") from error
            body: bytes = answer["Body"].read()
            return body

    def _part(self, name: str, etag: str, destination: memoryview, start: int) -> None:
        # the ETag holds the parts together: a file that is replaced in between fails instead of mixing
        span = f"bytes={start}-{start + len(destination) - 1}"
        with self._within(len(destination)):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name), Range=span, IfMatch=etag)
            filled = 0
            while filled < len(destination):
                count = answer["Body"].readinto(destination[filled:])
                if not count:
                    raise ArtifactError(f"{name}: {span} ended after {filled} bytes")
                filled += count

    def _key(self, name: str) -> str:
        return f"{PREFIX}/{name}"

    def _within(self, size: int) -> AbstractContextManager[None]:
        # a read that drips must not hold up the next poll
        return within(self._patience.read_within_s * (1 + size / self._part_bytes))
