"""The file of a search's trials: whole or refused."""

import os
from pathlib import Path

import optuna
import pytest

from flagrank.errors import DataError
from flagrank.offline.evaluation.study_file import open_study

IDENTITY = {"data": "some", "start": {"alpha": 1.5}}

# what Optuna writes of a trial that has begun, and not of one that has ended
BEGUN = b'{"op_code":4,"worker_id":"x","study_id":0,"datetime_start":"2026-01-01T00:00:00.000000+00:00"}'


def add(study: optuna.Study, value: float) -> None:
    study.add_trial(optuna.trial.create_trial(value=value))


def values(path: Path) -> list[float | None]:
    with open_study(path, IDENTITY) as study:
        return [trial.value for trial in study.get_trials()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A study of three trials."""
    path = tmp_path / "study.jsonl"
    with open_study(path, IDENTITY) as study:
        for value in (0.25, 0.1, 1 / 3):
            add(study, value)
    return path


def test_trials_are_kept_to_the_last_digit(path: Path) -> None:
    """One line each, behind one that says whose they are."""
    assert values(path) == [0.25, 0.1, 1 / 3]
    assert path.read_bytes().count(b"\n") == 4


def test_a_file_cut_off_at_any_byte_is_a_study(path: Path) -> None:
    """Its whole lines are its trials, and more are added behind them."""
    content = path.read_bytes()
    for end in range(len(content) + 1):
        path.write_bytes(content[:end])
        whole = max(1, content[:end].count(b"\n"))
        with open_study(path, IDENTITY) as study:
            assert [trial.value for trial in study.get_trials()] == [0.25, 0.1, 1 / 3][: whole - 1]
            add(study, 0.5)
        assert path.read_bytes().splitlines()[:whole] == content.splitlines()[:whole]
        assert path.read_bytes().count(b"\n") == whole + 1


@pytest.mark.parametrize(
    "content",
    [
        b"user_id,item_id\n1,10\n2,1",
        b"notes",
        b'{"interactions": [1, 2]}',
        b"\n",
        b"\xff",
        b'{"op_code":0,"worker_id":"3',
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """Above all where its last line has no end, which would be cut off from a study."""
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^precious:1: is no study"):
        values(path)
    assert path.read_bytes() == content


def test_a_study_of_something_else_is_refused_and_left_as_it_is(path: Path) -> None:
    """One of another start, and one that Optuna began by itself."""
    own = path.with_name("own.jsonl")
    journal = optuna.storages.journal.JournalFileBackend(str(own))
    optuna.create_study(storage=optuna.storages.JournalStorage(journal), study_name="mine")
    for other, identity in ((path, {**IDENTITY, "data": "other"}), (own, IDENTITY)):
        content = other.read_bytes()
        with (
            pytest.raises(DataError, match=r":1: is no study of these data and this start; give another --study$"),
            open_study(other, identity),
        ):
            pass
        assert other.read_bytes() == content


@pytest.mark.parametrize("line", [b'{"ndcg": 1}', b"[]", b"notes", b'{"op_code": 4, "study_id": 0}', b"\xff"])
@pytest.mark.parametrize("further", [b"", BEGUN])
def test_a_line_that_is_no_trial_is_named(path: Path, line: bytes, further: bytes) -> None:
    """A whole line was written whole, so that somebody has changed it since; the last one, too."""
    path.write_bytes(path.read_bytes() + line + b"\n" + further)
    with pytest.raises(DataError, match=r"^study\.jsonl:5: expected a trial: "):
        values(path)


def test_only_one_process_has_it_open(path: Path) -> None:
    """The second is refused, and the kernel forgets the first one's lock as soon as it ends."""
    with (
        open_study(path, IDENTITY),
        pytest.raises(DataError, match=r"^study\.jsonl: is in use by another search"),
        open_study(path, IDENTITY),
    ):
        pass
    assert len(values(path)) == 3
    assert [file.name for file in path.parent.iterdir()] == ["study.jsonl"]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """With the system's own words."""
    with pytest.raises(DataError, match=r"cannot keep the search's trials: Is a directory$"):
        values(tmp_path)


def test_a_full_disk_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the trials before it are kept."""

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with open_study(path, IDENTITY) as study, monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(DataError, match="cannot keep the search's trials: No space left on device"):
            add(study, 0.5)
    assert values(path)[:3] == [0.25, 0.1, 1 / 3]


def test_its_folder_is_made(tmp_path: Path) -> None:
    """`--out` may lie in a folder that does not exist yet, and the study lies beside it."""
    assert values(tmp_path / "new" / "folder" / "study.jsonl") == []
