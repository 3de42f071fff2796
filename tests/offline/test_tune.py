"""The search for Stage 1's parameters."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flagrank.errors import DataError
from flagrank.offline import tune
from flagrank.offline.interactions import Dataset
from flagrank.offline.train import AlsParameters
from flagrank.offline.tune import search
from tests.offline.datasets import QUICK, shop


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return shop(("audio",))


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


def test_a_search_that_was_killed_goes_on_where_it_was(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finished trials are not repeated, a half-written one is, and the outcome is that of an undisturbed search."""
    whole = search(dataset, QUICK, 5, tmp_path / "whole.jsonl", silent)
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "killed.jsonl").write_text("".join(lines[:4]) + lines[4][:20])
    tried: list[AlsParameters] = []
    measure = tune._ndcg

    def counted(cuts: list[Dataset], parameters: AlsParameters) -> float:
        tried.append(parameters)
        return measure(cuts, parameters)

    monkeypatch.setattr(tune, "_ndcg", counted)
    assert search(dataset, QUICK, 5, tmp_path / "killed.jsonl", silent) == whole
    assert len(tried) == 2 + len(tune.SEEDS)
    assert [json.loads(line) for line in (tmp_path / "killed.jsonl").read_text().splitlines()] == [
        json.loads(line) for line in lines
    ]


def test_another_searchs_trials_are_not_taken_over(dataset: Dataset, tmp_path: Path) -> None:
    """Other data or another start make other trials."""
    search(dataset, QUICK, 1, tmp_path / "study.jsonl", silent)
    with pytest.raises(DataError, match="another search"):
        search(dataset, replace(QUICK, seed=9), 1, tmp_path / "study.jsonl", silent)


def test_nothing_of_the_test_split_is_looked_at(dataset: Dataset, tmp_path: Path) -> None:
    """With another test set, or none, the search finds the same."""
    strange = replace(dataset, held_out=dataset.interactions.select(dataset.interactions.users < 50))
    one = search(dataset, QUICK, 2, tmp_path / "one.jsonl", silent)
    other = search(strange, QUICK, 2, tmp_path / "other.jsonl", silent)
    assert one.trials == other.trials
