"""Users' files in memory, for tests: held to the same contract suite as the real stores."""

from collections.abc import Mapping

from flagrank.domain import UserProblem
from flagrank.errors import UsersUnavailable


class InMemoryUserStore:
    """Users' files by version. Nobody asks it for a set that holds its users in memory."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.problem: UserProblem | None = None
        self.reads = 0

    def prepare(self) -> None:
        """Nothing has to be made."""

    def read(self, version: str, start: int, size: int, timeout_ms: float) -> bytes:
        """That part of the version's file; raises UsersUnavailable, with `problem` where that is set."""
        self.reads += 1
        data = self.files.get(version, b"")[start : start + size]
        if self.problem is not None or len(data) != size:
            raise UsersUnavailable(self.problem or UserProblem.UNREADABLE, f"{len(data)} bytes of {size}")
        return data
