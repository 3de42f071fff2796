"""What every UserStore promises."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flagrank.adapters.folder_users import FolderUserStore
from flagrank.adapters.in_memory_users import InMemoryUserStore
from flagrank.adapters.s3_users import S3UserStore
from flagrank.domain import UserProblem
from flagrank.errors import UsersUnavailable
from flagrank.model.artifacts import USERS
from flagrank.ports import UserStore

VERSION = "20260101-0123456789ab"
CONTENT = bytes(range(256)) * 4
TIMEOUT_MS = 5000.0
type Make = Callable[[bytes], UserStore]


@pytest.fixture(params=["in_memory", "folder", "s3"])
def store_of(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A store of VERSION, whose users' file holds these bytes."""

    def in_s3(content: bytes) -> UserStore:
        s3, bucket = request.getfixturevalue("s3"), request.getfixturevalue("bucket")
        prefix = uuid.uuid4().hex
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{VERSION}/{USERS}", Body=content)
        return S3UserStore(lambda: s3, bucket, prefix=prefix)

    def in_folder(content: bytes) -> UserStore:
        (tmp_path / USERS).write_bytes(content)
        return FolderUserStore(tmp_path, VERSION)

    made: dict[str, Any] = {
        "in_memory": lambda content: InMemoryUserStore({VERSION: content}),
        "folder": in_folder,
        "s3": in_s3,
    }
    return made[request.param]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("start", "size"), [(0, 1), (0, 1024), (100, 50), (1023, 1)])
def test_a_part_is_what_lies_there(store_of: Make, start: int, size: int) -> None:
    """The bytes from the start on, as many as asked for, at either end too."""
    assert store_of(CONTENT).read(VERSION, start, size, TIMEOUT_MS) == CONTENT[start : start + size]


def test_a_part_that_ends_early_is_unreadable(store_of: Make) -> None:
    """A shorter file than the index says is a problem with a name, and no short answer."""
    with pytest.raises(UsersUnavailable) as raised:
        store_of(CONTENT).read(VERSION, 1000, 100, TIMEOUT_MS)
    assert raised.value.problem is UserProblem.UNREADABLE


def test_a_part_beyond_the_end_is_unreadable(store_of: Make) -> None:
    """As S3 has an error of its own for it."""
    with pytest.raises(UsersUnavailable):
        store_of(CONTENT).read(VERSION, 5000, 100, TIMEOUT_MS)


def test_the_users_of_another_version_are_unreadable(store_of: Make) -> None:
    """A part is never taken from the set that another publisher put into force."""
    with pytest.raises(UsersUnavailable) as raised:
        store_of(CONTENT).read("20990101-ffffffffffff", 0, 1, TIMEOUT_MS)
    assert raised.value.problem is UserProblem.UNREADABLE
