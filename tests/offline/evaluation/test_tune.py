"""The search for Stage 1's parameters."""

import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.errors import DataError
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.evaluation import tune
from flagrank.offline.evaluation.tune import search
from flagrank.offline.training.als import AlsParameters
from flagrank.offline.training.progress import silent
from tests.offline.datasets import QUICK, as_dataset, checkerboard


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
        return 1 / (1 + parameters.confidence_scale + parameters.seed / 100)

    monkeypatch.setattr(tune, "_ndcg", stand_in)
    return seen


def test_the_best_trial_is_no_worse_than_the_start(board: Dataset, tmp_path: Path) -> None:
    """The start is the first trial, and the record says what each reached and how far seeds move it."""
    found = search(board, QUICK, 6, tmp_path / "study.jsonl", silent)
    assert found.trials[0].parameters == QUICK
    assert max(trial.ndcg for trial in found.trials) >= found.trials[0].ndcg
    document = found.document()
    assert len(document["trials"]) == 6
    assert document["seed_spread"] >= 0


def test_a_resumed_search_finds_what_it_would_have_found(
    board: Dataset, tmp_path: Path, measured: list[AlsParameters]
) -> None:
    """Wherever it was killed: the same trials, and no finished one is repeated."""
    study = tmp_path / "study.jsonl"
    whole = search(board, QUICK, 14, study, silent)
    lines = study.read_bytes().splitlines(keepends=True)
    for finished in range(15):
        study.write_bytes(b"".join(lines[: finished + 1]) + b'{"op_code":4,"wor')
        measured.clear()
        assert search(board, QUICK, 14, study, silent) == whole
        assert len(measured) == 14 - finished + len(tune.SEEDS)


KILLED = """
import os, signal, sys
from pathlib import Path
from flagrank.offline.evaluation import tune
from tests.offline.datasets import QUICK, checkerboard

def kill(cuts, parameters):
    if parameters.confidence_scale != QUICK.confidence_scale:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.5

tune._ndcg = kill
tune.search(checkerboard(44), QUICK, 3, Path(sys.argv[1]), lambda *_: None)
"""


def test_a_killed_search_is_resumed_at_once(board: Dataset, tmp_path: Path, measured: list[AlsParameters]) -> None:
    """After a real SIGKILL no lock is left to wait for, and the finished trial counts."""
    study = tmp_path / "study.jsonl"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(study)], cwd=Path(__file__).parents[3], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["study.jsonl"]
    found = search(board, QUICK, 3, study, silent)
    assert found.trials[0].ndcg == 0.5
    assert len(measured) == 2 + len(tune.SEEDS)


@settings(max_examples=30)
@given(
    start=st.builds(
        AlsParameters,
        factors=st.integers(1, 200),
        regularization=st.floats(0, 200),
        confidence_scale=st.floats(1e-6, 50),
        rating_weight=st.floats(0, 2),
        iterations=st.integers(1, 40),
        seed=st.integers(0, 2**40),
    )
)
def test_any_start_is_the_first_trial_and_kept(start: AlsParameters) -> None:
    """Even outside of the space that is searched, to the last digit; what is proposed next lies within."""
    measured: list[AlsParameters] = []

    def stand_in(cuts: list[Dataset], parameters: AlsParameters) -> float:
        measured.append(parameters)
        return 0.5

    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as folder:
        patched.setattr(tune, "_ndcg", stand_in)
        once, again = (search(checkerboard(44), start, 2, Path(folder) / "study.jsonl", silent) for _ in range(2))
    assert once == again
    assert once.trials[0].parameters == start
    proposed = once.trials[1].parameters.recorded()
    for name, allowed in tune.SPACE.items():
        assert allowed.low <= proposed[name] <= allowed.high


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
    scale = found.best.parameters.confidence_scale
    apart = 1 / (1 + scale + min(tune.SEEDS) / 100) - 1 / (1 + scale + max(tune.SEEDS) / 100)
    assert scale == min(parameters.confidence_scale for parameters in measured)
    assert found.metrics() == {
        "folds": 1,
        "ndcg@10": round(found.best.ndcg, 6),
        "seed_spread": pytest.approx(apart, abs=1e-6),
    }
    assert found.document()["metric"] == "ndcg@10 on 1 folds of the training interactions"


def test_nothing_of_the_test_split_is_looked_at(board: Dataset, tmp_path: Path) -> None:
    """With another test set, or none, the search finds the same."""
    strange = replace(board, held_out=board.interactions.select(board.interactions.users < 20))
    one = search(board, QUICK, 2, tmp_path / "one.jsonl", silent)
    other = search(strange, QUICK, 2, tmp_path / "other.jsonl", silent)
    assert one.trials == other.trials
