"""Sending a file that is too large for one request."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from flagrank.errors import ArtifactError
from flagrank.model.artifacts import FileEntry
from flagrank.offline.publishing.upload import Destination, upload_file
from tests.offline.conftest import BUCKET

# no less than S3 takes for a part that is not the last
PART_BYTES = 5 * 1024 * 1024
CONTENT = bytes(range(251)) * (11 * 1024 * 1024 // 251)
ENTRY = FileEntry(sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))


class Counting:
    """The client, with its operations by name in order."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.calls: list[str] = []
        self.change: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return self.change.get(name, getattr(self.client, name))


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    made = tmp_path / "users.bin"
    made.write_bytes(CONTENT)
    return made


def send(client: Any, file: Path, told: list[int] | None = None) -> None:
    upload_file(Destination(client, BUCKET, "users.bin"), file, ENTRY, (told or []).append, PART_BYTES)


def is_there(s3: Any) -> bool:
    return bool(s3.list_objects_v2(Bucket=BUCKET).get("Contents"))


def test_a_large_file_is_sent_in_parts_and_arrives_whole(s3: Any, users_file: Path) -> None:
    """Three parts, each with its checksum, and progress to the last byte."""
    told: list[int] = [0]
    client = Counting(s3)
    send(client, users_file, told)
    assert client.calls.count("upload_part") == 3
    assert s3.get_object(Bucket=BUCKET, Key="users.bin")["Body"].read() == CONTENT
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)


def test_a_part_that_arrives_changed_is_refused_and_leaves_nothing(s3: Any, users_file: Path) -> None:
    """Each part says what it must be: S3 refuses another, and the upload is ended."""
    client = Counting(s3)

    def changed(**values: Any) -> Any:
        # what S3 answers to a part that is not of its checksum
        sent = hashlib.sha256(values["Body"]).digest()
        assert values["ChecksumSHA256"]
        assert values["ChecksumAlgorithm"] == "SHA256"
        raise ValueError(f"BadDigest {sent.hex()}")

    client.change["upload_part"] = changed
    with pytest.raises(ValueError, match="BadDigest"):
        send(client, users_file)
    assert client.calls[-1] == "abort_multipart_upload"
    assert not is_there(s3)
    assert not s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"x", b"short"])
def test_a_file_that_is_not_the_manifests_is_not_sent(s3: Any, users_file: Path, content: bytes) -> None:
    """It changed since it was checked."""
    users_file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"users\.bin: .*differs from the manifest's"):
        send(s3, users_file)
    assert not is_there(s3)


def test_a_file_that_is_there_is_not_sent_again(s3: Any, users_file: Path) -> None:
    """S3's checksum of the whole is that of the parts' checksums."""
    client = Counting(s3)
    digests = [hashlib.sha256(CONTENT[at : at + PART_BYTES]).digest() for at in range(0, len(CONTENT), PART_BYTES)]
    client.change["head_object"] = lambda **_: {"ChecksumSHA256": composite(digests)}
    send(client, users_file)
    assert client.calls == ["head_object"]


def composite(digests: list[bytes]) -> str:
    return base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode() + f"-{len(digests)}"
