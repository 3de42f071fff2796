"""Offline quality, through the serving code."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from flagrank.errors import DataError
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.movielens import read
from flagrank.offline.data.split import held_out_at_random
from flagrank.offline.evaluation.evaluate import evaluate
from flagrank.offline.evaluation.stage_report import means, prepare, report
from flagrank.offline.metrics.held_out_users import HeldOutUsers
from flagrank.offline.training.boosting import BoostingParameters
from flagrank.offline.training.neighbours import NeighbourParameters
from flagrank.offline.training.progress import silent
from flagrank.offline.training.two_stage import TrainingPlan
from tests.offline.datasets import QUICK, as_dataset, checkerboard, shop
from tests.offline.ml100k import FOLDER, needs_ml100k

SIZE = 60
SMALL = TrainingPlan(als=QUICK, neighbours=NeighbourParameters(count=20), kind="linear", folds=2, pool=40)
STAGE1 = TrainingPlan(als=QUICK, kind="none")


def evaluated(dataset: Dataset, plan: TrainingPlan = STAGE1) -> dict[str, Any]:
    return report(prepare(dataset, plan))


@pytest.fixture(scope="module")
def board() -> Dataset:
    """A checkerboard that splits itself: each user's own item is held out."""
    dataset = checkerboard(SIZE)
    answers = as_dataset([(user, user, 1000) for user in range(SIZE)])
    return replace(dataset, held_out=answers.interactions)


def test_als_beats_popularity_where_taste_decides(board: Dataset) -> None:
    """Every item is equally popular, and only the user's colour tells which one is missing.

    Popularity can win one colour by the luck of its ties, never both.
    """
    found = evaluated(board)
    assert found["users"] == SIZE
    assert found["stage1"]["recall@5"] == found["stage1"]["ndcg@5"] == 1.0
    assert found["popularity"]["recall@5"] < 0.6


def test_evaluating_twice_gives_the_same_report() -> None:
    """To the last digit, with trees, a linear model and both."""
    plan = replace(SMALL, kind="blend", boosting=BoostingParameters(rounds=10, min_data_in_leaf=20))
    once, again = (evaluate(shop(("audio",), users=40), plan, "none", quick=True, progress=silent) for _ in range(2))
    assert once == again


def test_seen_items_are_no_answer() -> None:
    """An item that a user has already is not in the list, even where the test repeats it."""
    repeated = replace(checkerboard(SIZE), held_out=as_dataset([(0, 2, 1000)]).interactions)
    assert set(evaluated(repeated)["stage1"].values()) == {0.0}


def test_items_that_training_never_met_count_as_missed(board: Dataset) -> None:
    """They stay in the denominator: half the held-out items are unknown, so recall is a half."""
    assert board.held_out is not None
    strange = replace(board.held_out, items=np.full(SIZE, 10_000))
    both = [
        np.concatenate(pair) for pair in zip(asdict(board.held_out).values(), asdict(strange).values(), strict=True)
    ]
    assert evaluated(replace(board, held_out=type(strange)(*both)))["stage1"]["recall@10"] == 0.5


def test_a_dataset_without_a_split_has_its_last_interactions_held_out() -> None:
    """Only users with enough of them are tested."""
    rows = [(user, item, item) for user in range(1, 4) for item in range(user * 3, user * 3 + 24)]
    few = [(9, item, item) for item in range(5)]
    assert evaluated(as_dataset(rows + few))["users"] == 3


def test_a_dataset_too_small_to_split_is_refused() -> None:
    """One clear line in place of a report full of nothing."""
    with pytest.raises(DataError, match="nothing to hold out: no user has 20 interactions"):
        evaluated(as_dataset([(1, 10, 1), (2, 10, 2)]))


def test_without_a_stage_2_both_stages_are_one(board: Dataset) -> None:
    """No gain is reported where nothing was learned."""
    found = evaluated(board)
    assert found["stage1"] == found["stage2"]
    assert {tuple(change["ci95"]) for change in found["delta"].values()} == {(0.0, 0.0)}


def test_held_out_items_are_grouped_by_user() -> None:
    """In the order of first appearance."""
    users = HeldOutUsers.of(as_dataset([(2, 10, 1), (1, 11, 2), (2, 12, 3)]).interactions)
    assert (users.ids, users.relevant) == ([2, 1], [{10, 12}, {11}])


def test_means_are_over_users() -> None:
    """A user with many held-out items weighs no more than one with few."""
    users = HeldOutUsers([1, 2], [{1, 2, 3, 4}, {9}])
    assert means(users.quality([[1, 2], [9]]))["recall@5"] == 0.75


@needs_ml100k
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_movielens_reaches_what_the_readme_promises() -> None:
    """On ua.test, with nothing tuned on it: both stages at least at their bars, and a gain in every column."""
    found = evaluated(read(FOLDER), TrainingPlan())
    bars = {
        "stage1": (0.173, 0.382, 0.268, 0.315, 0.735, 0.522),
        "stage2": (0.178, 0.393, 0.278, 0.325, 0.750, 0.535),
    }
    for stage, bar in bars.items():
        assert [value >= least for value, least in zip(found[stage].values(), bar, strict=True)] == [True] * 6
    assert all(change["mean"] > 0 for change in found["delta"].values())
    assert all(found["delta"][f"{metric}@{k}"]["ci95"][0] > 0 for metric in ("recall", "ndcg") for k in (10, 100))


@needs_ml100k
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_another_split_holds_the_same_gain() -> None:
    """Ten interactions of each user drawn anew from base and test together: Stage 2 gains in every column there, too.

    With the linear model, which trains in seconds.
    """
    own = read(FOLDER)
    assert own.held_out is not None
    together = replace(own, interactions=own.interactions.joined(own.held_out), held_out=None)
    found = evaluated(held_out_at_random(together, seed=7), TrainingPlan(kind="linear", folds=2))
    assert all(change["mean"] > 0 for change in found["delta"].values())
    assert all(found["delta"][f"{metric}@{k}"]["ci95"][0] > 0 for metric in ("recall", "ndcg") for k in (10, 100))
