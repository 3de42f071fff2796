"""What training says of its own stages."""

from dataclasses import replace

import numpy as np

from flagrank.offline.evaluation.fold_quality import fold_quality
from flagrank.offline.training.examples import Examples
from flagrank.offline.training.progress import silent
from flagrank.offline.training.two_stage import TrainingPlan

NAMES = ("als", "als_z")
PLAN = TrainingPlan(kind="linear")


def fold(seed: int, users: int = 60, pool: int = 20, held_out: int = 1, history: int = 30) -> Examples:
    """The first feature decides what is chosen, and Stage 1 knows nothing of it."""
    table = np.random.default_rng(seed).normal(size=(users * pool, 2)).astype(np.float32)
    labels = np.zeros(users * pool, np.int8)
    labels[np.arange(users) * pool + table[:, 0].reshape(users, pool).argmax(axis=1)] = 1
    each = np.ones(users, np.int64)
    return Examples(NAMES, table, labels, pool * each, history * each, held_out * each)


def test_stage2_is_measured_on_a_fold_that_it_has_not_seen() -> None:
    """What it learned from the others holds there; the fold itself adds nothing to it."""
    told = fold_quality([fold(1), fold(2), fold(3)], NAMES, PLAN, silent)
    assert told["users"] == 60
    assert told["stage2"]["ndcg@5"] > 0.9
    assert told["stage1"]["ndcg@5"] < 0.5
    misleading = fold(3)
    opposite = Examples(
        NAMES, -misleading.table, misleading.labels, misleading.sizes, misleading.histories, misleading.held_out
    )
    assert fold_quality([opposite, fold(1), fold(2)], NAMES, PLAN, silent)["stage2"]["ndcg@5"] < 0.1


def test_what_the_candidates_missed_counts_as_missed() -> None:
    """Of four held-out items one is among the candidates: no order can recall more than a quarter."""
    told = fold_quality([fold(2, held_out=4), fold(1)], NAMES, PLAN, silent)
    assert told["stage2"]["recall@100"] == told["stage1"]["recall@100"] == 0.25


def test_a_user_whom_stage2_would_not_order_is_measured_as_stage1_orders() -> None:
    """As in serving: fewer interactions than anybody whom the model learned from."""
    told = fold_quality([fold(2, history=5), fold(1)], NAMES, PLAN, silent)
    assert told["stage2"] == told["stage1"]


def test_too_few_folds_tell_nothing() -> None:
    """No figure is better than one of a model that saw the answers."""
    assert fold_quality([], NAMES, PLAN, silent) == {}


def test_a_single_fold_is_measured_on_users_whom_stage2_has_not_seen() -> None:
    """Every other user is measured; what the rest teaches holds for them."""
    told = fold_quality([fold(1)], NAMES, PLAN, silent)
    assert told["users"] == 30
    assert told["stage2"]["ndcg@5"] > 0.9
    labels = np.zeros_like(fold(1).labels)
    assert fold_quality([replace(fold(1), labels=labels)], NAMES, PLAN, silent) == {}
