"""An artifact set as a folder: written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flagrank.errors import ArtifactError, DataError
from flagrank.model.artifacts import MANIFEST, Manifest, parse_manifest, verified
from flagrank.model.factors import Factors
from flagrank.model.validation import validate


def check_replaceable(folder: Path) -> None:
    """Raises DataError unless the folder is new, empty or an artifact set: `--out` must not overwrite anything else."""
    ancestor = next(path for path in folder.absolute().parents if path.exists())
    if not ancestor.is_dir():
        raise DataError(str(folder), None, f"cannot be made: {ancestor} is not a folder")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not _holds_a_set(folder))):
        raise DataError(str(folder), None, "is not empty and holds no artifact set; give a new folder")


def save(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes a set, replacing an earlier one in two renames.

    Raises DataError if the folder holds anything else or cannot be written; what was there before then stays.
    """
    check_replaceable(folder)
    try:
        _replace(folder.resolve(), files)
    except OSError as error:
        raise DataError(str(folder), None, f"cannot be written: {error.strerror}") from error


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh, old = Path(scratch) / "fresh", Path(scratch) / "old"
        fresh.mkdir()
        for name, data in files.items():
            with (fresh / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
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


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Every file of the manifest, verified; raises ArtifactError."""
    files = {}
    for name, entry in manifest.files.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{folder / name}: {error.strerror}") from error
        files[name] = bytes(verified(name, entry, data))
    return files


def load(folder: Path) -> Factors:
    """The folder's factors, verified and warm; raises DataError if there is no set, and ArtifactError."""
    manifest = read_manifest(folder)
    return validate(manifest, read_files(folder, manifest).__getitem__)
