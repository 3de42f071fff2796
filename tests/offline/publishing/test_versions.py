"""Published versions, and the pointer between them."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from flagrank.cli.app import main
from flagrank.errors import ArtifactError
from flagrank.model.artifacts import USERS
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.publishing.publish import Published, publish, read_pointer
from flagrank.offline.publishing.versions import activate, list_versions, roll_back
from tests.offline.conftest import BUCKET, make_files, version_of

OLDER, NEWER = version_of(make_files()), version_of(make_files(seed=1))


@pytest.fixture
def two_versions(s3: Any, folder: Path, tmp_path: Path) -> Any:
    """A bucket in which a newer version replaced an older one."""
    newer = tmp_path / "newer"
    artifact_folder.save(make_files(seed=1), newer)
    publish(folder, s3, BUCKET)
    publish(newer, s3, BUCKET)
    return s3


def test_every_version_is_listed_with_the_one_in_force(two_versions: Any) -> None:
    """Both are whole, one is served."""
    listed = {version.version: (version.complete, version.in_force) for version in list_versions(two_versions, BUCKET)}
    assert listed == {OLDER: (True, False), NEWER: (True, True)}


def test_an_empty_bucket_has_no_versions(s3: Any) -> None:
    """Nothing published is nothing listed, and nothing to go back to."""
    assert list_versions(s3, BUCKET) == []
    with pytest.raises(ArtifactError, match="no earlier version"):
        roll_back(s3, BUCKET)


def test_a_rollback_serves_the_version_before(two_versions: Any) -> None:
    """And a second one goes forward again."""
    assert roll_back(two_versions, BUCKET) == Published(OLDER, NEWER)
    assert roll_back(two_versions, BUCKET) == Published(NEWER, OLDER)


def test_activating_what_is_in_force_changes_nothing(two_versions: Any) -> None:
    """The version before stays the one to go back to."""
    _, etag = read_pointer(two_versions, BUCKET)
    assert activate(NEWER, two_versions, BUCKET) == Published(NEWER, OLDER)
    assert read_pointer(two_versions, BUCKET)[1] == etag


def test_users_that_were_damaged_in_the_bucket_are_not_activated(two_versions: Any) -> None:
    """They are read block by block and checked as an environment checks one; the pointer stays."""
    key = f"factors/{OLDER}/{USERS}"
    content = bytearray(two_versions.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    content[-1] ^= 1
    two_versions.put_object(Bucket=BUCKET, Key=key, Body=bytes(content))
    with pytest.raises(ArtifactError, match="block 0 of the users: checksum differs"):
        roll_back(two_versions, BUCKET)
    assert read_pointer(two_versions, BUCKET)[0].version == NEWER  # type: ignore[union-attr]


def test_a_version_that_is_not_whole_is_not_activated(two_versions: Any) -> None:
    """The error names what is missing, the list says so, and the pointer stays."""
    two_versions.delete_object(Bucket=BUCKET, Key=f"factors/{OLDER}/item_gram.npy")
    with pytest.raises(ArtifactError, match="item_gram"):
        activate(OLDER, two_versions, BUCKET)
    with pytest.raises(ArtifactError, match="no version 'none'"):
        activate("none", two_versions, BUCKET)
    listed = {version.version: version.complete for version in list_versions(two_versions, BUCKET)}
    assert listed == {OLDER: False, NEWER: True}
    pointer, _ = read_pointer(two_versions, BUCKET)
    assert pointer is not None
    assert pointer.version == NEWER


def test_the_commands_list_activate_and_roll_back(
    two_versions: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people and for programs, with the exit codes of every command."""

    def flagrank(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["flagrank", "factors", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    monkeypatch.setattr("flagrank.adapters.aws_clients.s3_client", lambda: two_versions)
    assert flagrank("list", "--bucket", BUCKET) == 0
    assert "in force" in capsys.readouterr().out
    assert flagrank("list", "--bucket", BUCKET, "--json") == 0
    assert {entry["version"] for entry in json.loads(capsys.readouterr().out)["versions"]} == {OLDER, NEWER}
    assert flagrank("activate", OLDER, "--bucket", BUCKET) == 0
    assert f"{OLDER} is in force" in capsys.readouterr().out
    assert flagrank("rollback", "--bucket", BUCKET, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"version": NEWER, "previous": OLDER}
    assert flagrank("activate", "none", "--bucket", BUCKET) == 1
    monkeypatch.delenv("FLAGRANK_BUCKET", raising=False)
    assert flagrank("list") == 2


def test_a_version_that_serving_would_refuse_is_not_activated(two_versions: Any) -> None:
    """A set that an earlier release published may be whole and still fail; the pointer stays."""
    prefix = f"factors/{OLDER}/"
    catalog = two_versions.get_object(Bucket=BUCKET, Key=f"{prefix}catalog.jsonl")["Body"].read()
    catalog = catalog.replace(b'"title"', b'"tilte"')
    manifest = json.loads(two_versions.get_object(Bucket=BUCKET, Key=f"{prefix}manifest.json")["Body"].read())
    manifest["files"]["catalog.jsonl"]["sha256"] = hashlib.sha256(catalog).hexdigest()
    two_versions.put_object(Bucket=BUCKET, Key=f"{prefix}catalog.jsonl", Body=catalog)
    two_versions.put_object(Bucket=BUCKET, Key=f"{prefix}manifest.json", Body=json.dumps(manifest).encode())
    with pytest.raises(ArtifactError, match="in every line of the catalogue"):
        activate(OLDER, two_versions, BUCKET)
    with pytest.raises(ArtifactError, match="in every line of the catalogue"):
        roll_back(two_versions, BUCKET)
    pointer, _ = read_pointer(two_versions, BUCKET)
    assert pointer is not None
    assert pointer.version == NEWER
