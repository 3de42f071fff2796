"""A set on disk: whole, or not there."""

import os
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flagrank.errors import ArtifactError, DataError
from flagrank.model.artifacts import MANIFEST, USERS
from flagrank.model.encoding import encode
from flagrank.model.users import BlockWriter
from flagrank.offline.publishing.artifact_folder import check, check_replaceable, load, read_manifest, save
from tests.factories import make_factors
from tests.offline.conftest import CREATED, make_files, version_of

OLD = make_files()
NEW = make_files(seed=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def with_extra(manifest: bytes) -> bytes:
    """The manifest of a set that had one more file."""
    return manifest.replace(b'"files": {', b'"files": {"extra.json": {"sha256": "", "size": 2},', 1)


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    """Through as many missing parent folders as there are."""
    save(OLD, tmp_path / "a" / "b")
    assert load(tmp_path / "a" / "b").version == version_of(OLD)
    assert contents(tmp_path / "a" / "b") == OLD


def test_an_earlier_set_is_replaced_whole(folder: Path) -> None:
    """Nothing of it stays, not even a file that the new set has no successor for."""
    save(OLD | {"extra.json": b"{}", MANIFEST: with_extra(OLD[MANIFEST])}, folder)
    save(NEW, folder)
    assert contents(folder) == NEW


def test_what_else_lies_in_the_folder_stays(folder: Path) -> None:
    """A README, a folder of notes and a link belong to their owner."""
    (folder / "README.md").write_text("mine")
    (folder / "notes").mkdir()
    (folder / "notes" / "one.txt").write_text("also mine")
    (folder / "link").symlink_to("nowhere")
    save(NEW, folder)
    assert load(folder).version == version_of(NEW)
    assert (folder / "README.md").read_text() == "mine"
    assert (folder / "notes" / "one.txt").read_text() == "also mine"
    assert (folder / "link").readlink() == Path("nowhere")


def test_the_folder_is_as_open_as_any_other(tmp_path: Path) -> None:
    """It is made in a private scratch folder and must not inherit its mode."""
    (tmp_path / "usual").mkdir()
    save(OLD, tmp_path / "set")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "set")}
    assert len(modes) == 1


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    """`mkdir` before `train` is no mistake."""
    (tmp_path / "set").mkdir()
    save(OLD, tmp_path / "set")
    assert contents(tmp_path / "set") == OLD


@pytest.mark.parametrize("name", ["thesis.txt", MANIFEST])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    """Even where a browser extension or the like has a manifest of its own; nothing in it changes."""
    (tmp_path / name).write_text('{"manifest_version": 3}')
    with pytest.raises(DataError, match="is not empty and holds no artifact set; give a new folder"):
        save(OLD, tmp_path)
    assert contents(tmp_path) == {name: b'{"manifest_version": 3}'}


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    """A file is not replaced by a folder."""
    (tmp_path / "set").write_text("mine")
    with pytest.raises(DataError, match="holds no artifact set"):
        check_replaceable(tmp_path / "set")


def test_a_file_on_the_way_to_the_folder_is_refused(tmp_path: Path) -> None:
    """Said before an hour of training, not after it."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"cannot be made: .*file is not a folder"):
        check_replaceable(tmp_path / "file" / "deep" / "set")


def test_a_failure_while_writing_leaves_the_old_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk on the third file: the old set is whole, and the half-written one is gone."""
    written: list[int] = []

    def full_disk(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DataError, match="cannot be written: No space left on device"):
        save(NEW, folder)
    assert contents(folder) == OLD
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failed_exchange_puts_the_old_set_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two renames there is no set in place: if the second fails, the first is undone."""
    rename = Path.rename

    def refuse_fresh(path: Path, target: Any) -> Path:
        if path.name == "fresh":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_fresh)
    with pytest.raises(DataError, match="cannot be written: Input/output error"):
        save(NEW, folder)
    assert contents(folder) == OLD
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_without_a_set_says_how_to_make_one(tmp_path: Path) -> None:
    """The commonest mistake before `publish`."""
    with pytest.raises(DataError, match="no artifact set, No such file or directory; make one with `flagrank train`"):
        read_manifest(tmp_path)


def test_a_missing_file_of_a_set_is_named(folder: Path) -> None:
    """The manifest promises it."""
    (folder / "item_gram.npy").unlink()
    with pytest.raises(ArtifactError, match=r"item_gram\.npy: No such file"):
        load(folder)


def test_a_changed_file_of_a_set_is_named(folder: Path) -> None:
    """By size or by checksum."""
    with (folder / "catalog.jsonl").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"catalog\.jsonl: \d+ bytes, promised \d+"):
        load(folder)


def test_checking_a_folder_reads_its_users_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of blocks, in order, to the last byte, and the factors without the users in memory."""
    monkeypatch.setattr("flagrank.offline.publishing.user_check.RUN_BYTES", 1)
    monkeypatch.setattr("flagrank.model.encoding.BlockWriter", partial(BlockWriter, block_bytes=500))
    files = encode(make_factors(users=100), created=CREATED, training={})
    save(files, tmp_path / "set")
    told: list[int] = []
    factors = check(tmp_path / "set", lambda step, done, total: told.append(done))
    assert factors.user_index is not None
    assert (len(factors.user_ids), factors.user_count) == (0, 100)
    assert told == factors.user_index.starts[1:].tolist()
    assert len(told) > 10


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_damaged_users_are_found(tmp_path: Path, damage: str) -> None:
    """A file that is not there, one that ends early, and a byte that is another."""
    save(NEW, tmp_path / "set")
    file = tmp_path / "set" / USERS
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="users"):
        check(tmp_path / "set")
