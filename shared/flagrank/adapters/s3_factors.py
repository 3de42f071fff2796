"""Factors in S3: verified before they serve, reloaded in the background, and never dropped on doubt."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from flagrank.errors import ArtifactError, FactorsUnavailable
from flagrank.model.artifacts import MANIFEST, POINTER, USERS, Manifest, Pointer, parse_manifest
from flagrank.model.factors import Factors
from flagrank.model.validation import validate
from flagrank.ports import Clock, ReloadCounts

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
        prefix: str = "factors",
        executor: Executor | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._clock = clock
        self._prefix = prefix
        self._poll_s = poll_s
        self._part_bytes = sizes.part_bytes
        self._users_in_memory_bytes = sizes.users_in_memory_bytes
        self._background = executor or ThreadPoolExecutor(1, "factors")
        self._parts = ThreadPoolExecutor(PARALLEL_PARTS, "factors-part")
        self._lock = threading.Lock()
        self._factors: Factors | None = None
        self._problem = "not loaded yet"
        self._due_at = 0.0
        self._checking = False
        self._reloads = ReloadCounts()
        self._prepare: Callable[[Factors], object] | None = None

    def prepare_with(self, prepare: Callable[[Factors], object]) -> None:
        """Lets `prepare` see each set once it is warm and before it serves, so that no request waits for that work."""
        self._prepare = prepare

    def current(self) -> Factors:
        """The factors in force; loads the first ones at once, raises FactorsUnavailable while there are none."""
        with self._lock:
            due = self._clock.now() >= self._due_at and not self._checking
            if due:
                self._checking = True
        if due and self._factors is None:
            self._check()
        elif due:
            self._background.submit(self._check)
        if self._factors is None:
            raise FactorsUnavailable(self._problem)
        return self._factors

    def drain_reloads(self) -> ReloadCounts:
        """What became of the reloads since this was last asked."""
        with self._lock:
            reloads, self._reloads = self._reloads, ReloadCounts()
        return reloads

    def _check(self) -> None:
        try:
            self._load_if_changed()
        except Exception as error:  # the old factors must outlive any doubt, and a background check has no caller
            with self._lock:
                self._reloads = replace(self._reloads, failed=self._reloads.failed + 1)
            self._problem = f"s3://{self._bucket}/{self._prefix}: {error}"
            known = isinstance(error, ArtifactError | ValidationError | BotoCoreError | ClientError)
            logger.warning("factors were not loaded: %s", self._problem, exc_info=not known)
        finally:
            with self._lock:
                self._due_at = self._clock.now() + (self._poll_s if self._factors is not None else RETRY_S)
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
            return self._whole(name)
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

    def _whole(self, name: str) -> bytes:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
        except self._client.exceptions.NoSuchKey as error:
            raise ArtifactError(f"{name} does not exist") from error
        body: bytes = answer["Body"].read()
        return body

    def _part(self, name: str, etag: str, destination: memoryview, start: int) -> None:
        # the ETag holds the parts together: a file that is replaced in between fails instead of mixing
        span = f"bytes={start}-{start + len(destination) - 1}"
        answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name), Range=span, IfMatch=etag)
        filled = 0
        while filled < len(destination):
            count = answer["Body"].readinto(destination[filled:])
            if not count:
                raise ArtifactError(f"{name}: {span} ended after {filled} bytes")
            filled += count

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"
