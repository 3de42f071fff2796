"""A set of artifacts as a folder: written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flagrank.artifacts import MANIFEST, Manifest, decode, parse_manifest, verified
from flagrank.errors import ArtifactError, DataError
from flagrank.factors import Factors


def check_replaceable(folder: Path) -> None:
    """Raises DataError unless the folder is new, empty or an artifact set: `--out` must not eat anything else."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).exists())):
        raise DataError(str(folder), None, "is not empty and holds no artifact set; give a new folder")


def save(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes a set, replacing an earlier one in two renames; raises DataError where something else lies."""
    check_replaceable(folder)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh, old = Path(scratch) / "fresh", Path(scratch) / "old"
        fresh.mkdir()
        for name, data in files.items():
            with (fresh / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            # what else lies in the folder (a README) belongs to its owner, not to the set
            for kept in folder.iterdir():
                if kept.name not in files and kept.is_file():
                    shutil.copy2(kept, fresh)
            folder.rename(old)
        fresh.rename(folder)


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest; raises ArtifactError."""
    try:
        return parse_manifest((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise ArtifactError(f"{folder}: no artifact set, {error.strerror}; make one with `flagrank train`") from error


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
    """The folder's factors, verified; raises ArtifactError."""
    manifest = read_manifest(folder)
    return decode(manifest, read_files(folder, manifest).__getitem__)
