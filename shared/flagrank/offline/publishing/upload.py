"""Sends one file to S3: whole, or in parts that S3 checks one by one; what is there already is not sent again."""

import base64
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import FileEntry, verified

MISSING = frozenset({"404", "NoSuchKey"})
# S3 takes 10,000 parts of 5 MiB or more: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_BYTES = 16 * 1024 * 1024
MAX_PARTS = 10_000
# so many parts are in memory at once
SENT_AT_ONCE = 4

# called with how many bytes of the file are sent or known to be there
type Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Destination:
    """An object that is to be in the bucket."""

    client: Any
    bucket: str
    key: str

    @property
    def names(self) -> dict[str, str]:
        """Where it is, as S3's operations take it."""
        return {"Bucket": self.bucket, "Key": self.key}


def upload_bytes(to: Destination, data: bytes) -> None:
    """Sends these bytes unless the object has them."""
    checksum = _base64(hashlib.sha256(data).digest())
    if _stored_checksum(to) != checksum:
        to.client.put_object(**to.names, Body=data, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum)


def upload_file(to: Destination, file: Path, entry: FileEntry, tell: Tell, part_bytes: int = PART_BYTES) -> None:
    """Sends the file of the manifest's entry; raises ArtifactError, and leaves no object, where it is another by now.

    A large one is read twice and never whole: first for its checksums, then to be sent.
    """
    if entry.size <= part_bytes:
        upload_bytes(to, bytes(verified(file.name, entry, file.read_bytes())))
        tell(entry.size)
        return
    part_bytes = max(part_bytes, -(-entry.size // MAX_PARTS))
    digests = _digests(file, entry, part_bytes)
    # S3's checksum of an object in parts is that of the parts' checksums:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    whole = f"{_base64(hashlib.sha256(b''.join(digests)).digest())}-{len(digests)}"
    if _stored_checksum(to) != whole:
        _send_parts(to, file, digests, part_bytes, tell)
    tell(entry.size)


def _digests(file: Path, entry: FileEntry, part_bytes: int) -> list[bytes]:
    whole, digests, size = hashlib.sha256(), [], 0
    for part in _parts(file, part_bytes):
        whole.update(part)
        digests.append(hashlib.sha256(part).digest())
        size += len(part)
    if size != entry.size or whole.hexdigest() != entry.sha256:
        raise ArtifactError(f"{file.name}: {size} bytes whose size or checksum differs from the manifest's")
    return digests


def _parts(file: Path, part_bytes: int) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while part := opened.read(part_bytes):
            yield part


def _send_parts(to: Destination, file: Path, digests: list[bytes], part_bytes: int, tell: Tell) -> None:
    upload_id = to.client.create_multipart_upload(**to.names, ChecksumAlgorithm="SHA256")["UploadId"]
    try:
        sent = list(_sent(to, upload_id, file, digests, part_bytes, tell))
        to.client.complete_multipart_upload(**to.names, UploadId=upload_id, MultipartUpload={"Parts": sent})
    except BaseException:
        # the bucket's lifecycle ends what a killed publisher leaves
        to.client.abort_multipart_upload(**to.names, UploadId=upload_id)
        raise


def _sent(
    to: Destination, upload_id: str, file: Path, digests: list[bytes], part_bytes: int, tell: Tell
) -> Iterator[dict[str, Any]]:
    def send(number: int, data: bytes, checksum: str) -> dict[str, Any]:
        # S3 refuses a part that is not of this checksum: the file may have changed since it was read first
        answer = to.client.upload_part(
            **to.names,
            UploadId=upload_id,
            PartNumber=number,
            Body=data,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=checksum,
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    with ThreadPoolExecutor(SENT_AT_ONCE, "upload") as threads:
        ahead: deque[Future[dict[str, Any]]] = deque()
        for number, part in enumerate(_parts(file, part_bytes), 1):
            ahead.append(threads.submit(send, number, part, _base64(digests[number - 1])))
            if len(ahead) == SENT_AT_ONCE:
                yield ahead.popleft().result()
                tell((number + 1 - SENT_AT_ONCE) * part_bytes)
        for sending in ahead:
            yield sending.result()


def _stored_checksum(to: Destination) -> str | None:
    try:
        found = to.client.head_object(**to.names, ChecksumMode="ENABLED")
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return None
        raise
    return str(found.get("ChecksumSHA256"))


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
