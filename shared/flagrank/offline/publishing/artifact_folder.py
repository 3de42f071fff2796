"""An artifact set as a folder: written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from flagrank.adapters.folder_users import FolderUserStore
from flagrank.errors import ArtifactError, DataError, UsersUnavailable
from flagrank.model.artifacts import MANIFEST, Manifest, parse_manifest
from flagrank.model.encoding import Open
from flagrank.model.factors import Factors
from flagrank.model.validation import validate
from flagrank.offline.publishing.user_check import NO_HURRY_MS, check_users
from flagrank.offline.training.progress import Progress, silent


def check_replaceable(folder: Path) -> None:
    """Raises DataError unless the folder is new, empty or an artifact set: `--out` must not overwrite anything else."""
    ancestor = next(path for path in folder.absolute().parents if path.exists())
    if not ancestor.is_dir():
        raise DataError(str(folder), None, f"cannot be made: {ancestor} is not a folder")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not _holds_a_set(folder))):
        raise DataError(str(folder), None, "is not empty and holds no artifact set; give a new folder")


def save(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes a set that is in memory, replacing an earlier one in two renames; see `save_set`."""

    def write(opened: Open) -> None:
        for name, data in files.items():
            with opened(name) as file:
                file.write(data)

    save_set(folder, write, lambda _: None)


def save_set(folder: Path, write: Callable[[Open], object], check: Callable[[Path], object]) -> None:
    """Lets `write` write a set file by file, and puts it in the place of an earlier one once `check` took its folder.

    Raises DataError if the folder holds anything else or cannot be written, and what `check` raises; what was there
    before then stays.
    """
    check_replaceable(folder)
    try:
        _replace(folder.resolve(), write, check)
    except OSError as error:
        raise DataError(str(folder), None, f"cannot be written: {error.strerror}") from error


def _replace(folder: Path, write: Callable[[Open], object], check: Callable[[Path], object]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh, old = Path(scratch) / "fresh", Path(scratch) / "old"
        fresh.mkdir()
        write(partial(_written_through, fresh))
        check(fresh)
        if not folder.exists():
            fresh.rename(folder)
            return
        _copy_other_files(folder, fresh)
        folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            # the scratch folder is removed in any case, and the old set is still in it
            old.rename(folder)
            raise


@contextmanager
def _written_through(folder: Path, name: str) -> Iterator[BinaryIO]:
    with (folder / name).open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _holds_a_set(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except (ArtifactError, DataError):
        return False
    return True


def _copy_other_files(folder: Path, fresh: Path) -> None:
    # other files in the folder, such as a README, belong to its owner
    if not any(folder.iterdir()):
        return
    of_the_set = {MANIFEST, *read_manifest(folder).files}
    for kept in folder.iterdir():
        if kept.name in of_the_set or (fresh / kept.name).exists():
            continue
        if kept.is_dir():
            shutil.copytree(kept, fresh / kept.name, symlinks=True)
        else:
            shutil.copy2(kept, fresh, follow_symlinks=False)


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest; raises DataError if there is none, and ArtifactError if it is no manifest."""
    try:
        return parse_manifest((folder / MANIFEST).read_bytes())
    except OSError as error:
        expected = f"no artifact set, {error.strerror}; make one with `flagrank train`"
        raise DataError(str(folder), None, expected) from error


def read_file(folder: Path, name: str) -> bytes:
    """A file's bytes; raises ArtifactError."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{folder / name}: {error.strerror}") from error


def load(folder: Path, *, keep_users: bool = True) -> Factors:
    """The folder's factors, verified and warm, with its users in memory or without.

    Raises DataError if there is no set, and ArtifactError.
    """
    return validate(read_manifest(folder), partial(read_file, folder), keep_users=keep_users)


def check(folder: Path, progress: Progress = silent) -> Factors:
    """The folder's factors without its users, once all of the set is checked, some of the users at a time.

    Raises DataError if there is no set, and ArtifactError.
    """
    factors = load(folder, keep_users=False)
    store = FolderUserStore(folder, factors.version)

    def read(start: int, size: int) -> bytes:
        try:
            return store.read(factors.version, start, size, NO_HURRY_MS)
        except UsersUnavailable as error:
            raise ArtifactError(str(error)) from error

    check_users(factors, read, progress)
    return factors
