"""recommenders-team's protocol."""

from dataclasses import replace

import numpy as np
import pytest

from flagrank.offline.evaluation import random_split as protocol
from flagrank.offline.evaluation.random_split import random_split
from flagrank.offline.metrics.ranking import ndcg_at_k
from flagrank.offline.training.two_stage import TrainingPlan
from tests.offline.datasets import QUICK, as_dataset, checkerboard


def test_all_ratings_are_drawn_from_and_every_seed_draws_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the dataset itself holds out is trained on like the rest, and the means are those of the seeds."""
    board = checkerboard(20)
    held_out = as_dataset([(user, user, 1000) for user in range(20)]).interactions
    monkeypatch.setattr(protocol, "SEEDS", (1, 2))
    plan = TrainingPlan(als=QUICK, kind="none")
    found = random_split(replace(board, held_out=held_out), plan, None, lambda *_: None)
    one, other = found["by_seed"]
    assert one != other
    assert found["stage1"]["ndcg@10"] == pytest.approx(
        (one["stage1"]["ndcg@10"] + other["stage1"]["ndcg@10"]) / 2, abs=1e-6
    )
    assert found["stage1"] == found["stage2"]


def test_their_logarithm_gives_the_same_figure() -> None:
    """The base of a logarithm cancels out between gain and ideal gain."""
    ranked, relevant = [[4, 1, 9, 7]], [{1, 7, 30}]
    gain, ideal = sum(1 / np.log([3, 5])), sum(1 / np.log([2, 3, 4]))
    assert ndcg_at_k(ranked, relevant, 4) == pytest.approx([gain / ideal])
