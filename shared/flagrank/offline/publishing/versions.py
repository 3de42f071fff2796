"""The published versions, and moving the pointer to one of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import MANIFEST, USERS, Manifest, decode, parse_manifest
from flagrank.model.factors import Factors
from flagrank.model.validation import validate
from flagrank.offline.publishing.publish import PREFIX, Published, point_at, read_pointer
from flagrank.offline.publishing.user_check import check_users
from flagrank.offline.training.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Version:
    """One published set; `complete` says whether every file that its manifest promises is there, by size."""

    version: str
    created: str
    complete: bool
    in_force: bool


def list_versions(client: Any, bucket: str, prefix: str = PREFIX) -> list[Version]:
    """Every version that has a manifest, the newest first."""
    pointer, _ = read_pointer(client, bucket, prefix)
    sizes = dict(_objects(client, bucket, f"{prefix}/"))
    names = {key.split("/")[-2] for key in sizes if key.endswith(f"/{MANIFEST}")}
    versions = []
    for name in names:
        manifest = _manifest(client, bucket, prefix, name)
        in_force = pointer is not None and pointer.version == name
        versions.append(Version(name, manifest.created, not _missing(manifest, f"{prefix}/{name}", sizes), in_force))
    return sorted(versions, key=lambda version: (version.created, version.version), reverse=True)


def activate(version: str, client: Any, bucket: str, prefix: str = PREFIX, progress: Progress = silent) -> Published:
    """Points at a version that was published before; what is in force already stays.

    Reads the whole set, the users some at a time. Raises ArtifactError if it does not exist, is incomplete or would be
    refused, PublishConflict if the pointer moved meanwhile.
    """
    before, etag = read_pointer(client, bucket, prefix)
    if before is not None and before.version == version:
        return Published(before.version, before.previous)
    folder = f"{prefix}/{version}"
    sizes = dict(_objects(client, bucket, f"{folder}/"))
    if f"{folder}/{MANIFEST}" not in sizes:
        raise ArtifactError(
            f"there is no version {version!r} in s3://{bucket}/{prefix}; `flagrank factors list` shows them"
        )
    manifest = _manifest(client, bucket, prefix, version)
    missing = _missing(manifest, folder, sizes)
    if missing:
        raise ArtifactError(f"{version} is incomplete: {', '.join(missing)}")
    # a set that an earlier release published may hold what this one refuses
    factors = validate(manifest, lambda name: _content(client, bucket, f"{folder}/{name}"), keep_users=False)
    check_users(factors, lambda start, size: _part(client, bucket, f"{folder}/{USERS}", start, size), progress)
    return point_at(version, client, bucket, prefix, before, etag)


def fetch(version: str, client: Any, bucket: str, prefix: str = PREFIX) -> tuple[Manifest, Factors]:
    """A published set and its manifest; raises ArtifactError if it does not verify."""
    manifest = _manifest(client, bucket, prefix, version)
    return manifest, decode(manifest, lambda name: _content(client, bucket, f"{prefix}/{version}/{name}"))


def roll_back(client: Any, bucket: str, prefix: str = PREFIX, progress: Progress = silent) -> Published:
    """Points at the version that was in force before this one; raises ArtifactError if there was none."""
    before, _ = read_pointer(client, bucket, prefix)
    if before is None or before.previous is None:
        raise ArtifactError(f"s3://{bucket}/{prefix} has no earlier version to go back to")
    return activate(before.previous, client, bucket, prefix, progress)


def _manifest(client: Any, bucket: str, prefix: str, version: str) -> Manifest:
    return parse_manifest(_content(client, bucket, f"{prefix}/{version}/{MANIFEST}"))


def _content(client: Any, bucket: str, key: str) -> bytes:
    content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def _part(client: Any, bucket: str, key: str, start: int, size: int) -> bytes:
    part: bytes = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + size - 1}")["Body"].read()
    return part


def _missing(manifest: Manifest, folder: str, sizes: dict[str, int]) -> list[str]:
    return [name for name, entry in manifest.files.items() if sizes.get(f"{folder}/{name}") != entry.size]


def _objects(client: Any, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from ((entry["Key"], entry["Size"]) for entry in page.get("Contents", []))
