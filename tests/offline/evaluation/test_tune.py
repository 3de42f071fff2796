"""The search for Stage 1's parameters."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flagrank.errors import DataError
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.evaluation import tune
from flagrank.offline.evaluation.tune import search
from flagrank.offline.training.als import AlsParameters
from tests.offline.datasets import QUICK, as_dataset, checkerboard, shop


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return shop(("audio",))


@pytest.fixture
def board() -> Dataset:
    """Its users have interactions for one fold and not for a second."""
    return checkerboard(44)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[AlsParameters]:
    """The parameters that were measured, by a stand-in that costs nothing."""
    seen: list[AlsParameters] = []

    def stand_in(cuts: list[Dataset], parameters: AlsParameters) -> float:
        seen.append(parameters)
        return 1 / (1 + parameters.alpha + parameters.seed / 100)

    monkeypatch.setattr(tune, "_ndcg", stand_in)
    return seen


def silent(*_: object) -> None:
    pass


def test_the_best_trial_is_no_worse_than_the_start(dataset: Dataset, tmp_path: Path) -> None:
    """The start is the first trial, and the record says what each reached and how far seeds move it."""
    found = search(dataset, QUICK, 6, tmp_path / "study.jsonl", silent)
    assert found.trials[0].parameters == QUICK
    assert max(trial.ndcg for trial in found.trials) >= found.trials[0].ndcg
    document = found.document()
    assert len(document["trials"]) == 6
    assert document["seed_spread"] >= 0


def test_a_search_may_be_killed_at_any_byte(board: Dataset, tmp_path: Path, measured: list[AlsParameters]) -> None:
    """Wherever its file ends, it goes on to the same trials and the same file, and repeats no finished one."""
    study = tmp_path / "study.jsonl"
    whole = search(board, QUICK, 4, study, silent)
    content = study.read_bytes()
    for end in range(len(content) + 1):
        study.write_bytes(content[:end])
        measured.clear()
        assert search(board, QUICK, 4, study, silent) == whole
        assert study.read_bytes() == content
        finished = max(0, content[:end].count(b"\n") - 1)
        assert len(measured) == 4 - finished + len(tune.SEEDS)


def test_a_longer_search_goes_on_from_a_shorter_one(
    board: Dataset, tmp_path: Path, measured: list[AlsParameters]
) -> None:
    """Its trials are kept, and those that come are added."""
    short = search(board, QUICK, 2, tmp_path / "study.jsonl", silent)
    long = search(board, QUICK, 5, tmp_path / "study.jsonl", silent)
    assert long.trials[:2] == short.trials
    assert len(long.trials) == 5


def test_another_starts_trials_are_not_taken_over(
    board: Dataset, tmp_path: Path, measured: list[AlsParameters]
) -> None:
    """Another seed makes other folds."""
    search(board, QUICK, 1, tmp_path / "study.jsonl", silent)
    with pytest.raises(DataError, match=r"^study\.jsonl:1: is no study of these data and this start"):
        search(board, replace(QUICK, seed=9), 1, tmp_path / "study.jsonl", silent)


@pytest.mark.parametrize("column", ["users", "items", "values", "timestamps"])
def test_other_interactions_trials_are_not_taken_over(
    board: Dataset, tmp_path: Path, measured: list[AlsParameters], column: str
) -> None:
    """A file that was written anew under the same name is other data, whatever differs in one row."""
    search(board, QUICK, 1, tmp_path / "study.jsonl", silent)
    values = getattr(board.interactions, column).copy()
    values[0] += 1
    changed = replace(board, interactions=replace(board.interactions, **{column: values}))
    with pytest.raises(DataError, match="is no study of these data and this start"):
        search(changed, QUICK, 1, tmp_path / "study.jsonl", silent)


def test_another_split_of_the_same_interactions_is_another_search(
    board: Dataset, tmp_path: Path, measured: list[AlsParameters]
) -> None:
    """Folds drawn at random are not those cut from the end."""
    search(board, QUICK, 1, tmp_path / "study.jsonl", silent)
    with pytest.raises(DataError, match="is no study of these data and this start"):
        search(replace(board, random_split=True), QUICK, 1, tmp_path / "study.jsonl", silent)


@pytest.mark.parametrize(
    "content", [b"user_id,item_id\n1,10\n2,1", b"notes", b'{"interactions": [1, 2]}', b"\n", b"\xff"]
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(
    board: Dataset, tmp_path: Path, measured: list[AlsParameters], content: bytes
) -> None:
    """Above all where its last line has no end, which would be cut off from a study."""
    study = tmp_path / "precious"
    study.write_bytes(content)
    with pytest.raises(DataError, match=r"^precious:1: is no study"):
        search(board, QUICK, 1, study, silent)
    assert study.read_bytes() == content
    assert not measured


def test_a_line_that_is_no_trial_is_named(board: Dataset, tmp_path: Path, measured: list[AlsParameters]) -> None:
    """A whole line was written whole, so that somebody has changed it since."""
    study = tmp_path / "study.jsonl"
    search(board, QUICK, 2, study, silent)
    study.write_bytes(study.read_bytes() + b'{"ndcg": 1}\n')
    with pytest.raises(DataError, match=r"^study\.jsonl:4: expected a trial: "):
        search(board, QUICK, 3, study, silent)


def test_a_study_that_is_a_folder_is_refused(board: Dataset, tmp_path: Path, measured: list[AlsParameters]) -> None:
    """Before anything is measured."""
    with pytest.raises(DataError, match=r"cannot keep the search's trials: Is a directory$"):
        search(board, QUICK, 1, tmp_path, silent)
    assert not measured


def test_a_studys_folder_is_made(board: Dataset, tmp_path: Path, measured: list[AlsParameters]) -> None:
    """`--out` may lie in a folder that does not exist yet, and the study lies beside it."""
    search(board, QUICK, 1, tmp_path / "new" / "folder" / "study.jsonl", silent)
    assert (tmp_path / "new" / "folder" / "study.jsonl").read_bytes().count(b"\n") == 2


def test_without_anybody_to_ask_there_is_no_search(tmp_path: Path, measured: list[AlsParameters]) -> None:
    """19 interactions are too few to hold ten out, and no study is begun."""
    few = as_dataset([(user, item, item) for user in range(5) for item in range(19)])
    with pytest.raises(DataError, match=r"^rows: nothing to search on: expected a user with 20 interactions"):
        search(few, QUICK, 1, tmp_path / "study.jsonl", silent)
    assert not measured
    assert not list(tmp_path.iterdir())


def test_a_fold_that_holds_nothing_out_is_left_out(board: Dataset, tmp_path: Path) -> None:
    """After one cut these users have too few interactions for a second: its mean would be no number."""
    found = search(board, QUICK, 1, tmp_path / "study.jsonl", silent)
    assert found.folds == 1
    assert math.isfinite(found.best.ndcg)
    assert np.isfinite(found.seed_ndcg).all()


def test_the_record_says_what_was_reached_and_how_sure_it_is(
    board: Dataset, tmp_path: Path, measured: list[AlsParameters]
) -> None:
    """The best trial's figure, on how many folds, and how far apart the seeds lie."""
    found = search(board, QUICK, 3, tmp_path / "study.jsonl", silent)
    alpha = found.best.parameters.alpha
    apart = 1 / (1 + alpha + min(tune.SEEDS) / 100) - 1 / (1 + alpha + max(tune.SEEDS) / 100)
    assert alpha == min(parameters.alpha for parameters in measured)
    assert found.metrics() == {
        "folds": 1,
        "ndcg@10": round(found.best.ndcg, 6),
        "seed_spread": pytest.approx(apart, abs=1e-6),
    }
    assert found.document()["metric"] == "ndcg@10 on 1 folds of the training interactions"


def test_nothing_of_the_test_split_is_looked_at(dataset: Dataset, tmp_path: Path) -> None:
    """With another test set, or none, the search finds the same."""
    strange = replace(dataset, held_out=dataset.interactions.select(dataset.interactions.users < 50))
    one = search(dataset, QUICK, 2, tmp_path / "one.jsonl", silent)
    other = search(strange, QUICK, 2, tmp_path / "other.jsonl", silent)
    assert one.trials == other.trials
