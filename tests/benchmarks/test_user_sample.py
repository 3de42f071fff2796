"""NDCG against the share of users that item factors are trained on, everyone else being folded in (decision 0083)."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from flagrank.candidates.fold_in import fold_in
from flagrank.model.factors import Factors
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.sources import read_dataset
from flagrank.offline.data.split import folds
from flagrank.offline.evaluation import replay
from flagrank.offline.metrics.held_out_users import HeldOutUsers
from flagrank.offline.metrics.ranking import bootstrap, ndcg_at_k
from flagrank.offline.training.als import AlsParameters, train
from tests.offline.ml100k import FOLDER, needs_ml100k

SHARES = (0.1, 0.3, 0.5, 0.7, 1.0)
FOLDS, CUTOFF = 2, 10


def with_everyone(dataset: Dataset, share: float, *, fold_all: bool = False) -> Factors:
    """Factors of the items from a drawn share of the users, with every user: the others are folded in, or all are."""
    interactions = dataset.interactions.latest()
    ids, users = np.unique(interactions.users, return_inverse=True)
    drawn = np.zeros(len(ids), bool)
    drawn[np.random.default_rng(7).permutation(len(ids))[: round(share * len(ids))]] = True
    factors = train(replace(dataset, interactions=interactions.select(drawn[users])), AlsParameters())
    seen = _seen(factors, users, interactions.items, len(ids))
    vectors = np.empty((len(ids), factors.item_factors.shape[1]), np.float32)
    vectors[drawn] = factors.user_factors
    for user in np.flatnonzero(~drawn | fold_all):
        # what the sample has not met has guessed factors
        met = seen[user][factors.popularity[seen[user]] > 0]
        vectors[user] = fold_in(factors, met, prior_interactions=0) if len(met) else factors.mean_user
    indptr = np.cumsum([0, *map(len, seen)])
    return replace(
        factors,
        user_ids=ids,
        user_factors=vectors,
        seen_indptr=indptr,
        seen_indices=np.concatenate(seen).astype(np.int32),
    )


def _seen(
    factors: Factors, users: npt.NDArray[np.intp], items: npt.NDArray[np.int64], count: int
) -> list[npt.NDArray[np.int64]]:
    rows = np.array([-1 if row is None else row for row in factors.item_rows(items.tolist())])
    return [rows[(users == user) & (rows >= 0)] for user in range(count)]


def ndcg(dataset: Dataset, factors: Factors) -> npt.NDArray[np.float64]:
    """NDCG by user with held-out items."""
    assert dataset.held_out is not None
    users = HeldOutUsers.of(dataset.held_out)
    lists = replay.item_ids(replay.answers(replay.baseline(factors), users.ids, CUTOFF))
    return ndcg_at_k(lists, users.relevant, CUTOFF)


@pytest.fixture(scope="module")
def cuts() -> list[Dataset]:
    """Folds of the training interactions: nothing is chosen on the test."""
    return list(folds(read_dataset(str(FOLDER), "ua"), FOLDS, seed=42))


@needs_ml100k
def test_the_curve_rises_to_its_end(cuts: list[Dataset]) -> None:
    """A tenth of the users is far from all of them, and every further share adds to the quality."""
    means = []
    for share in SHARES:
        found = bootstrap(np.concatenate([ndcg(cut, with_everyone(cut, share)) for cut in cuts]))
        print(f"{share:.0%} of the users: NDCG@{CUTOFF} {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]")
        means.append(found.mean)
    assert means == sorted(means)
    assert means[0] < 0.8 * means[-1]


@needs_ml100k
def test_folding_a_user_in_costs_nothing(cuts: list[Dataset]) -> None:
    """With item factors of all users, a fold-in of what a user has seen is as good as the user's own row."""
    own, folded = (
        np.concatenate([ndcg(cut, with_everyone(cut, 1.0, fold_all=fold_all)) for cut in cuts])
        for fold_all in (False, True)
    )
    found = bootstrap(folded - own)
    print(f"folded in - own row: {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]")
    assert abs(found.mean) < 0.005
