"""Publishing: objects first, the pointer last, and only one of two publishers."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from flagrank.adapters.in_memory import ManualClock
from flagrank.adapters.s3_factors import S3FactorStore
from flagrank.errors import ArtifactError, PublishConflict
from flagrank.model.artifacts import MANIFEST, Pointer
from flagrank.model.factors import Factors
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.publishing.publish import Published, publish, read_pointer, write_pointer
from tests.offline.conftest import BUCKET, make_files, version_of

POINTER_KEY = "factors/current.json"
VERSION = version_of(make_files())
NEWER = version_of(make_files(seed=1))


class Recorded:
    """The client, with the keys of its puts in order; `before` runs ahead of the put of a key that ends so."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.keys: list[str] = []
        self.checksums: dict[str, str] = {}
        self.before: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def put_object(self, **values: Any) -> Any:
        for ending, action in self.before.items():
            if values["Key"].endswith(ending):
                action()
        self.keys.append(values["Key"])
        if "ChecksumSHA256" in values:
            self.checksums[values["Key"]] = values["ChecksumSHA256"]
        return self.client.put_object(**values)


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    made = tmp_path / "newer"
    artifact_folder.save(make_files(seed=1), made)
    return made


def stored(s3: Any) -> set[str]:
    return {entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_the_published_set_is_what_serving_loads(s3: Any, folder: Path) -> None:
    """From the folder, over S3, into the factor store."""
    publish(folder, s3, BUCKET)
    served = S3FactorStore(s3, BUCKET, ManualClock()).current()
    assert served.version == VERSION
    assert np.array_equal(served.item_factors, artifact_folder.load(folder).item_factors)


def test_the_pointer_goes_last(s3: Any, folder: Path) -> None:
    """Objects first, their manifest after them, then the pointer: a reader never follows it into a gap."""
    recorded = Recorded(s3)
    publish(folder, recorded, BUCKET)
    names = {path.name for path in folder.iterdir()}
    assert {key.rpartition("/")[2] for key in recorded.keys[:-2]} == names - {MANIFEST}
    assert recorded.keys[-2:] == [f"factors/{VERSION}/{MANIFEST}", POINTER_KEY]


def test_each_object_is_stored_with_its_checksum(s3: Any, folder: Path) -> None:
    """The manifest's own SHA-256 goes with each file, so S3 itself refuses bytes that changed on the way."""
    recorded = Recorded(s3)
    publish(folder, recorded, BUCKET)
    entries = artifact_folder.read_manifest(folder).files
    sent = {key.rpartition("/")[2]: base64.b64decode(checksum).hex() for key, checksum in recorded.checksums.items()}
    assert {name: sent[name] for name in entries} == {name: entry.sha256 for name, entry in entries.items()}


def test_the_pointer_remembers_the_version_before(s3: Any, folder: Path, newer: Path) -> None:
    """So that a rollback knows where to go."""
    assert publish(folder, s3, BUCKET) == Published(VERSION, None)
    assert publish(newer, s3, BUCKET) == Published(NEWER, VERSION)
    pointer, _ = read_pointer(s3, BUCKET)
    assert pointer is not None
    assert (pointer.version, pointer.previous) == (NEWER, VERSION)


def test_publishing_the_version_in_force_changes_nothing(s3: Any, folder: Path, newer: Path) -> None:
    """Nothing is sent, and the version before stays the one before."""
    publish(folder, s3, BUCKET)
    publish(newer, s3, BUCKET)
    recorded = Recorded(s3)
    assert publish(newer, recorded, BUCKET) == Published(NEWER, VERSION)
    assert recorded.keys == []


@pytest.mark.parametrize("first", [True, False])
def test_of_two_publishers_the_second_is_refused(
    s3: Any, folder: Path, newer: Path, tmp_path: Path, first: bool
) -> None:
    """Both read the same pointer, or none; the one that writes later hears of the other, whose pointer stays."""
    third = tmp_path / "third"
    artifact_folder.save(make_files(seed=2), third)
    if not first:
        publish(third, s3, BUCKET)
    slow = Recorded(s3)
    slow.before[POINTER_KEY] = lambda: publish(newer, s3, BUCKET)
    with pytest.raises(PublishConflict, match="another publish moved the pointer"):
        publish(folder, slow, BUCKET)
    pointer, _ = read_pointer(s3, BUCKET)
    assert pointer is not None
    assert pointer.version == NEWER


def test_the_refused_publisher_can_publish_again(s3: Any, folder: Path, newer: Path) -> None:
    """A conflict leaves nothing in the way."""
    slow = Recorded(s3)
    slow.before[POINTER_KEY] = lambda: publish(newer, s3, BUCKET)
    with pytest.raises(PublishConflict):
        publish(folder, slow, BUCKET)
    assert publish(folder, s3, BUCKET) == Published(VERSION, NEWER)


def test_a_damaged_set_is_refused_before_anything_is_sent(s3: Any, folder: Path) -> None:
    """One changed byte in any file."""
    damaged = bytearray((folder / "item_factors.npy").read_bytes())
    damaged[-1] ^= 1
    (folder / "item_factors.npy").write_bytes(damaged)
    with pytest.raises(ArtifactError, match=r"item_factors\.npy: checksum differs"):
        publish(folder, s3, BUCKET)
    assert stored(s3) == set()


def test_an_inconsistent_set_is_refused_before_anything_is_sent(s3: Any, folder: Path) -> None:
    """Checksums that hold prove nothing about what the arrays say to each other."""
    files = make_files()
    other = make_files(seed=1)
    mixed = files | {name: other[name] for name in ("manifest.json", "item_factors.npy")}
    for name, data in mixed.items():
        (folder / name).write_bytes(data)
    with pytest.raises(ArtifactError):
        publish(folder, s3, BUCKET)
    assert stored(s3) == set()


def test_a_failure_midway_leaves_the_old_version_in_force(s3: Any, folder: Path, newer: Path) -> None:
    """What was sent lies there unreferenced."""
    publish(folder, s3, BUCKET)

    def fail() -> None:
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "slow down"}}, "PutObject")

    broken = Recorded(s3)
    broken.before[MANIFEST] = fail
    with pytest.raises(ClientError, match="SlowDown"):
        publish(newer, broken, BUCKET)
    assert S3FactorStore(s3, BUCKET, ManualClock()).current().version == VERSION


def test_a_publish_sends_only_what_is_missing(s3: Any, folder: Path, newer: Path) -> None:
    """After a failure midway, or for a version that was published before: an object with the same checksum stays."""
    publish(folder, s3, BUCKET)
    publish(newer, s3, BUCKET)
    s3.put_object(Bucket=BUCKET, Key=f"factors/{VERSION}/item_gram.npy", Body=b"damaged")
    s3.delete_object(Bucket=BUCKET, Key=f"factors/{VERSION}/catalog.jsonl")
    recorded = Recorded(s3)
    assert publish(folder, recorded, BUCKET) == Published(VERSION, NEWER)
    sent = {key.rpartition("/")[2] for key in recorded.keys}
    assert sent == {"item_gram.npy", "catalog.jsonl", "current.json"}
    assert S3FactorStore(s3, BUCKET, ManualClock()).current().version == VERSION


def test_a_pointer_that_vanished_meanwhile_is_a_conflict(s3: Any, folder: Path, newer: Path) -> None:
    """Somebody is at work there, and S3 finds nothing to compare the ETag with."""
    publish(folder, s3, BUCKET)
    slow = Recorded(s3)
    slow.before[POINTER_KEY] = lambda: s3.delete_object(Bucket=BUCKET, Key=POINTER_KEY)
    with pytest.raises(PublishConflict):
        publish(newer, slow, BUCKET)
    assert read_pointer(s3, BUCKET) == (None, None)


def test_objects_that_may_not_be_looked_at_are_not_sent(s3: Any, folder: Path) -> None:
    """A refusal is no absence: the service's words reach the caller."""

    class Refusing(Recorded):
        def head_object(self, **values: Any) -> Any:
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")

    refusing = Refusing(s3)
    with pytest.raises(ClientError, match="Forbidden"):
        publish(folder, refusing, BUCKET)
    assert refusing.keys == []


def test_what_is_no_pointer_is_not_overwritten(s3: Any, folder: Path) -> None:
    """Something else under the pointer's name is somebody's, and named."""
    s3.put_object(Bucket=BUCKET, Key=POINTER_KEY, Body=b"{}")
    with pytest.raises(ArtifactError, match=rf"^s3://{BUCKET}/{POINTER_KEY} is not a pointer"):
        publish(folder, s3, BUCKET)
    assert stored(s3) == {POINTER_KEY}


def test_a_bucket_may_hold_several_shops(s3: Any, folder: Path, newer: Path) -> None:
    """Prefixes do not know of each other."""
    publish(folder, s3, BUCKET, "one")
    publish(newer, s3, BUCKET, "two")
    assert [read_pointer(s3, BUCKET, prefix)[0] is not None for prefix in ("one", "two", "factors")] == [
        True,
        True,
        False,
    ]


def test_other_failures_of_the_service_keep_their_own_words(s3: Any) -> None:
    """Only a failed condition is a conflict, and only a missing pointer is a first publish."""
    pointer = Pointer(version=VERSION, activated="2026-01-02T03:04:05+00:00")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        write_pointer(s3, "no-such-bucket", "factors", pointer, None)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        read_pointer(s3, "no-such-bucket")


def test_a_set_that_cannot_be_warmed_is_not_published(
    s3: Any, folder: Path, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing does what serving does, before the first object is sent."""
    publish(folder, s3, BUCKET)

    def broken(_: Factors) -> None:
        raise ArtifactError("fails when warmed")

    monkeypatch.setattr(Factors, "warm", broken)
    recorded = Recorded(s3)
    with pytest.raises(ArtifactError, match="fails when warmed"):
        publish(newer, recorded, BUCKET)
    assert recorded.keys == []
