"""The file in which a search keeps its trials: Optuna's journal, made safe against a kill at any moment."""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from flagrank.errors import DataError


@contextmanager
def open_study(path: Path, identity: Mapping[str, Any]) -> Iterator[optuna.Study]:
    """The study of this `identity` in the journal at `path`, a new one if there is none; add only finished trials.

    Raises DataError if the file is anything else, and leaves it unchanged; if another search has it open; or if it
    cannot be written. An incomplete last line is removed: it is a trial whose search was killed.
    """
    name = f"flagrank-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()}"
    # Optuna's own first record has a random id; this one is the same each time, so that it identifies the file
    first: dict[str, Any] = {
        "op_code": 0,
        "worker_id": "flagrank",
        "study_name": name,
        "directions": [optuna.study.StudyDirection.MAXIMIZE],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise _unusable(path, error) from error
    with file:
        _lock(path, file)
        lines = _whole_lines(path, file, json.dumps(first, separators=(",", ":")).encode() + b"\n")
        _check_json(path, lines)
        journal = _Journal(str(path), _HeldLock(str(path)))
        if not lines:
            journal.append_logs([first])
        try:
            study = optuna.load_study(study_name=name, storage=JournalStorage(journal))
        # Optuna documents no error for a journal that somebody has changed
        except Exception as error:
            raise DataError(path.name, journal.line, f"expected a trial: {error!r}") from error
        yield study


class _Journal(JournalFileBackend):
    """Optuna's journal, and the number of the line that was read last."""

    line = 0

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        for self.line, log in enumerate(super().read_logs(log_number_from), log_number_from + 1):
            yield log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise _unusable(Path(self._file_path), error) from error


class _HeldLock(JournalFileOpenLock):
    """Nothing to acquire: the search holds the kernel's lock on the file, which ends with its process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _lock(path: Path, file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DataError(path.name, None, "is in use by another search; wait for it or give another --study") from error
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> DataError:
    return DataError(str(path), None, f"cannot keep the search's trials: {error.strerror}")


def _whole_lines(path: Path, file: BinaryIO, first: bytes) -> list[bytes]:
    file.seek(0)
    data = file.read()
    # checked before anything is removed: a file of somebody else stays unchanged
    if data[: len(first)] != first[: len(data)]:
        raise DataError(path.name, 1, "is no study of these data and this start; give another --study")
    whole = data[: data.rfind(b"\n") + 1]
    file.truncate(len(whole))
    return whole.splitlines()


def _check_json(path: Path, lines: list[bytes]) -> None:
    # Optuna ignores a last line that it cannot read, and fails after the next one is written
    for number, line in enumerate(lines, 1):
        try:
            json.loads(line)
        except ValueError as error:
            raise DataError(path.name, number, f"expected a trial: {error}") from error
