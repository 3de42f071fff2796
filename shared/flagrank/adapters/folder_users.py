"""The users' file of a set that lies in a folder."""

from pathlib import Path

from flagrank.domain import UserProblem
from flagrank.errors import UsersUnavailable
from flagrank.model.artifacts import USERS


class FolderUserStore:
    """Reads the one version that the folder holds."""

    def __init__(self, folder: Path, version: str) -> None:
        self._file = folder / USERS
        self._version = version

    def prepare(self) -> None:
        """Nothing has to be made."""

    def read(self, version: str, start: int, size: int, timeout_ms: float) -> bytes:
        """That part of the users' file; raises UsersUnavailable."""
        if version != self._version:
            raise UsersUnavailable(UserProblem.UNREADABLE, f"the folder holds {self._version}, not {version}")
        try:
            with self._file.open("rb") as file:
                file.seek(start)
                data = file.read(size)
        except OSError as error:
            raise UsersUnavailable(UserProblem.UNREADABLE, f"{self._file}: {error.strerror}") from error
        if len(data) != size:
            raise UsersUnavailable(UserProblem.UNREADABLE, f"{self._file}: {len(data)} bytes of {size}")
        return data
