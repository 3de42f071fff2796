"""Publishes a set to S3: every object first, then the pointer, if no other publisher moved it meanwhile."""

import datetime as dt
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from pydantic import ValidationError

from flagrank.errors import ArtifactError, PublishConflict
from flagrank.model.artifacts import MANIFEST, POINTER, Pointer
from flagrank.offline.publishing.artifact_folder import check, read_file, read_manifest
from flagrank.offline.publishing.upload import MISSING, PART_BYTES, Destination, upload_bytes, upload_file
from flagrank.offline.training.progress import Progress, silent

PREFIX = "factors"
# S3 answers NoSuchKey to a condition on a pointer that was deleted meanwhile
MOVED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409"})


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish did: the version now in force and the one before it."""

    version: str
    previous: str | None


def publish(
    folder: Path,
    client: Any,
    bucket: str,
    prefix: str = PREFIX,
    made_from: tuple[Pointer | None, str | None] | None = None,
    progress: Progress = silent,
) -> Published:
    """Uploads the objects that the bucket lacks, then moves the pointer; the version in force is left as it is.

    `made_from` is the pointer, with its ETag, to the set that this one was made from: it must still be in force.
    Raises ArtifactError before anything is sent if serving would refuse the set, PublishConflict if another publisher
    was first; the pointer is then the other's, and the uploaded objects are unreferenced.
    """
    check(folder, progress)
    manifest = read_manifest(folder)
    before, etag = made_from or read_pointer(client, bucket, prefix)
    if before is not None and before.version == manifest.version:
        return Published(before.version, before.previous)
    total, sent = sum(entry.size for entry in manifest.files.values()), 0
    if total <= PART_BYTES:
        # sent at once
        progress = silent
    for name, entry in manifest.files.items():
        to = Destination(client, bucket, f"{prefix}/{manifest.version}/{name}")
        upload_file(to, folder / name, entry, partial(_tell, progress, sent, total))
        sent += entry.size
    to = Destination(client, bucket, f"{prefix}/{manifest.version}/{MANIFEST}")
    upload_bytes(to, read_file(folder, MANIFEST))
    return point_at(manifest.version, client, bucket, prefix, before, etag)


def _tell(progress: Progress, before: int, total: int, done: int) -> None:
    progress("sending, bytes", before + done, total)


def point_at(
    version: str, client: Any, bucket: str, prefix: str, before: Pointer | None, etag: str | None
) -> Published:
    """Puts a version into force in place of the pointer that was read with that ETag; raises PublishConflict."""
    pointer = Pointer(
        version=version,
        previous=before.version if before else None,
        activated=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )
    write_pointer(client, bucket, prefix, pointer, etag)
    return Published(pointer.version, pointer.previous)


def read_pointer(client: Any, bucket: str, prefix: str = PREFIX) -> tuple[Pointer | None, str | None]:
    """The pointer and its ETag, None and None where nothing was published yet.

    Raises ArtifactError if the object is not a pointer.
    """
    try:
        answer = client.get_object(Bucket=bucket, Key=f"{prefix}/{POINTER}")
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return None, None
        raise
    try:
        return Pointer.model_validate_json(answer["Body"].read()), answer["ETag"]
    except ValidationError as error:
        raise ArtifactError(f"s3://{bucket}/{prefix}/{POINTER} is not a pointer: {error.errors()[0]['msg']}") from error


def write_pointer(client: Any, bucket: str, prefix: str, pointer: Pointer, etag: str | None) -> None:
    """Replaces the pointer of that ETag, or creates it for None; raises PublishConflict if it is another by now."""
    condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    body = pointer.model_dump_json(indent=2).encode()
    try:
        client.put_object(
            Bucket=bucket, Key=f"{prefix}/{POINTER}", Body=body, ContentType="application/json", **condition
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in MOVED:
            raise PublishConflict(
                "another publish moved the pointer at the same time; look at what it published, then publish again"
            ) from error
        raise
