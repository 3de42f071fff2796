"""Offline quality, through the serving code."""

from dataclasses import asdict, replace

import numpy as np
import orjson
import pytest

from flagrank.domain import Candidate
from flagrank.errors import DataError
from flagrank.factors import Factors, Rows
from flagrank.offline import evaluate as evaluation
from flagrank.offline.evaluate import CUTOFFS, evaluate, held_out_by_user, means
from flagrank.offline.interactions import Dataset
from flagrank.offline.movielens import read
from flagrank.offline.train import AlsParameters
from flagrank.retrieval import User, retrieve
from tests.offline.datasets import QUICK, as_dataset, checkerboard
from tests.offline.ml100k import FOLDER, needs_ml100k

SIZE = 60


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
    result = evaluate(board, QUICK)
    assert result.users == SIZE
    assert result.stage1["recall@5"] == result.stage1["ndcg@5"] == 1.0
    assert result.popularity["recall@5"] < 0.6


def test_evaluating_twice_gives_the_same_report(board: Dataset) -> None:
    """To the last digit."""
    assert evaluate(board, QUICK).document() == evaluate(board, QUICK).document()


def test_lists_come_from_the_serving_code(board: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both rankings go through `retrieval.retrieve`: one list a user and ranking, long enough for every cut-off."""
    asked = []

    def counted(factors: Factors, user: User, k: int, excluded: Rows) -> list[Candidate]:
        asked.append(k)
        return retrieve(factors, user, k, excluded)

    monkeypatch.setattr(evaluation, "retrieve", counted)
    evaluate(board, QUICK)
    assert asked == [max(CUTOFFS)] * (2 * SIZE)


def test_seen_items_are_no_answer() -> None:
    """An item that a user has already is not in the list, even where the test repeats it."""
    dataset = checkerboard(SIZE)
    repeated = replace(dataset, held_out=as_dataset([(0, 2, 1000)]).interactions)
    assert set(evaluate(repeated, QUICK).stage1.values()) == {0.0}


def test_items_that_training_never_met_count_as_missed(board: Dataset) -> None:
    """They stay in the denominator: half the held-out items are unknown, so recall is a half."""
    assert board.held_out is not None
    strange = replace(board.held_out, items=np.full(SIZE, 10_000))
    both = [
        np.concatenate(pair) for pair in zip(asdict(board.held_out).values(), asdict(strange).values(), strict=True)
    ]
    result = evaluate(replace(board, held_out=type(strange)(*both)), QUICK)
    assert result.stage1["recall@10"] == 0.5


def test_a_dataset_without_a_split_has_its_last_interactions_held_out() -> None:
    """Only users with enough of them are tested."""
    rows = [(user, item, item) for user in range(1, 4) for item in range(user * 3, user * 3 + 24)]
    few = [(9, item, item) for item in range(5)]
    assert evaluate(as_dataset(rows + few), QUICK).users == 3


def test_a_dataset_too_small_to_split_is_refused() -> None:
    """One clear line in place of a report full of nothing."""
    with pytest.raises(DataError, match="nothing to hold out: no user has 20 interactions"):
        evaluate(as_dataset([(1, 10, 1), (2, 10, 2)]), QUICK)


def test_the_report_is_json_with_all_that_it_takes_to_repeat_it(board: Dataset) -> None:
    """Dataset, users, parameters, and each metric at each cut-off."""
    document = orjson.loads(orjson.dumps(evaluate(board, QUICK).document()))
    names = {f"{metric}@{k}" for metric in ("recall", "ndcg") for k in CUTOFFS}
    assert (document["dataset"], document["users"]) == ("checkerboard", SIZE)
    assert document["parameters"] == QUICK.recorded()
    assert document["stage1"].keys() == document["popularity"].keys() == names


def test_held_out_items_are_grouped_by_user() -> None:
    """In the order of first appearance."""
    rows = as_dataset([(2, 10, 1), (1, 11, 2), (2, 12, 3)]).interactions
    assert list(held_out_by_user(rows).items()) == [(2, {10, 12}), (1, {11})]


def test_means_are_over_users() -> None:
    """A user with many held-out items weighs no more than one with few."""
    found = means([[1, 2], [9]], [{1, 2, 3, 4}, {9}])
    assert found["recall@5"] == 0.75


@needs_ml100k
def test_movielens_reaches_the_public_baseline() -> None:
    """At least a public ALS baseline's Recall@10 and NDCG@10 on ua.test."""
    result = evaluate(read(FOLDER), AlsParameters())
    assert result.users == 943
    assert result.stage1["recall@10"] >= 0.226
    assert result.stage1["ndcg@10"] >= 0.258
    assert result.stage1["ndcg@10"] > result.popularity["ndcg@10"]
