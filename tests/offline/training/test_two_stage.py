"""What Stage 2 learns from, and what it learns."""

from dataclasses import replace

import numpy as np
import pytest

from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.domain import RecommendRequest
from flagrank.errors import ArtifactError
from flagrank.model.arrays import NO_ROWS
from flagrank.model.artifacts import MANIFEST, STAGE2, decode, parse_manifest
from flagrank.model.encoding import encode
from flagrank.model.features import FEATURES, feature_table
from flagrank.model.stage2 import LinearModel, Table, TreeEnsemble
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.split import folds, held_out_last
from flagrank.offline.evaluation.replay import baseline
from flagrank.offline.training import two_stage
from flagrank.offline.training.boosting import BoostingParameters, boost, exported
from flagrank.offline.training.examples import Examples, collect
from flagrank.offline.training.linear import fit_linear
from flagrank.offline.training.neighbours import NeighbourParameters, learn_item_weights, learn_neighbours
from flagrank.offline.training.progress import silent
from flagrank.offline.training.two_stage import TrainingPlan, TwoStages, first_stage, train_two_stages
from flagrank.offline.training.workers import Workers
from tests.offline.datasets import QUICK, as_dataset, checkerboard, shop

BOOSTING = BoostingParameters(rounds=12, min_data_in_leaf=20)
PLAN = TrainingPlan(als=QUICK, neighbours=NeighbourParameters(count=20), boosting=BOOSTING, folds=2, pool=100)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return held_out_last(shop())


@pytest.fixture(scope="module")
def trained(dataset: Dataset) -> TwoStages:
    return train_two_stages(dataset, PLAN)


def random_examples(users: int = 200, pool: int = 20) -> Examples:
    """Two features; the first decides what is chosen, the second is noise."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(users * pool, 2)).astype(np.float32)
    labels = np.zeros(users * pool, np.int8)
    labels[np.arange(users) * pool + table[:, 0].reshape(users, pool).argmax(axis=1)] = 1
    return Examples(("als", "als_z"), table, labels, np.full(users, pool), np.full(users, 30), np.ones(users, np.int64))


def test_training_and_serving_see_the_same_features(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table that training collects for a user is, to the bit, the one that a served request computes.

    New items, whose factors are guesses, are among the candidates and in neither table.
    """
    assert dataset.held_out is not None
    hidden = np.isin(dataset.interactions.items, sorted(dataset.items)[::10])
    factors = train_two_stages(replace(dataset, interactions=dataset.interactions.select(~hidden)), PLAN).factors
    served: list[Table] = []

    def recorded(*arguments: object) -> Table:
        served.append(feature_table(*arguments))  # type: ignore[arg-type]
        return served[-1]

    monkeypatch.setattr("flagrank.ranking.scoring.feature_table", recorded)
    assert factors.stage2 is not None
    found = collect(factors, dataset.held_out, factors.stage2.pool).columns(factors.stage2.features)
    ends = np.cumsum(found.sizes)
    user_ids = np.unique(dataset.held_out.users).tolist()
    assert len(user_ids) == len(ends)
    for user_id, start, end in zip(user_ids, ends - found.sizes, ends, strict=True):
        baseline(factors).recommend(RecommendRequest(user_id, 10))
        assert np.array_equal(served[-1], found.table[start:end])
    users = (resolve_user(factors, user_id, NO_ROWS) for user_id in user_ids)
    candidates = [generate(factors, CandidateRequest(user, factors.stage2.pool)).rows for user in users]
    assert any(factors.is_new[rows].any() for rows in candidates)
    assert found.sizes.tolist() == [int((~factors.is_new[rows]).sum()) for rows in candidates]


def test_a_fold_of_many_users_is_sampled(dataset: Dataset, trained: TwoStages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same users at each call, and each of them whole."""
    monkeypatch.setattr("flagrank.offline.training.examples.MAX_USERS", 7)
    assert dataset.held_out is not None
    first, again = (collect(trained.factors, dataset.held_out, 100) for _ in range(2))
    assert len(first.sizes) == len(first.histories) == 7
    assert first.sizes.sum() == len(first.table) == len(first.labels)
    assert np.array_equal(first.table, again.table)


def test_any_number_of_processes_trains_the_same(dataset: Dataset) -> None:
    """Neighbours, examples and model, to the bit, however the work is shared."""
    alone = train_two_stages(dataset, PLAN)
    with Workers(2) as workers:
        shared = train_two_stages(dataset, PLAN, workers=workers)
    for made, again in zip(alone.examples, shared.examples, strict=True):
        assert np.array_equal(made.table, again.table)
        assert np.array_equal(made.labels, again.labels)
    assert alone.factors.neighbours is not None
    assert shared.factors.neighbours is not None
    assert np.array_equal(alone.factors.neighbours.session, shared.factors.neighbours.session)
    assert alone.factors.stage2 is not None
    assert shared.factors.stage2 is not None
    assert alone.factors.stage2.document == shared.factors.stage2.document


def test_many_users_need_fewer_folds(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many folds as make enough users, and never more than the plan's."""
    fold = next(folds(dataset, 1, PLAN.als.seed))
    assert fold.held_out is not None
    users = len(np.unique(fold.held_out.users))
    plan = replace(PLAN, kind="linear", folds=3)
    for wanted, folds_made in ((users * 2, 2), (users * 9, 3), (1, 1)):
        monkeypatch.setattr(two_stage, "EXAMPLE_USERS", wanted)
        assert len(train_two_stages(dataset, plan).examples) == folds_made


def test_a_user_without_open_candidates_is_no_example() -> None:
    """Somebody who has seen every item leaves nothing to order."""
    everything = [(1, item, item) for item in range(42)]
    others = [(user, item, 100 + item) for user in range(2, 8) for item in range(10 * (user % 3), 10 * (user % 3) + 22)]
    fold = held_out_last(as_dataset([*everything, *others]))
    assert fold.held_out is not None
    seen_all = replace(fold, interactions=as_dataset([*everything, *others]).interactions)
    found = collect(first_stage(seen_all, PLAN, None, silent), fold.held_out, 100)
    assert (found.sizes > 0).all()
    assert len(found.sizes) == 6


def test_examples_hold_nothing_from_after_the_fold(dataset: Dataset) -> None:
    """A candidate that the user has seen in training is no example, and labels are the held-out items alone."""
    fold = next(folds(dataset, 1, seed=1))
    assert fold.held_out is not None
    factors = first_stage(fold, PLAN, None, silent)
    found = collect(factors, fold.held_out, 60)
    assert found.labels.sum() <= len(fold.held_out)
    user = resolve_user(factors, int(np.unique(fold.held_out.users)[0]), NO_ROWS)
    own = fold.held_out.items[fold.held_out.users == np.unique(fold.held_out.users)[0]]
    assert not set(factors.item_ids[user.seen].tolist()) & set(own.tolist())


def test_rolling_folds_learn_from_the_past_alone(dataset: Dataset) -> None:
    """Each fold's training ends before what it holds out, and before what the fold before it held out."""
    before = None
    for fold in folds(dataset, 3, seed=1):
        assert fold.held_out is not None
        for user in np.unique(fold.held_out.users)[:20]:
            kept = fold.interactions.timestamps[fold.interactions.users == user]
            assert fold.held_out.timestamps[fold.held_out.users == user].min() >= kept.max()
        if before is not None:
            assert len(fold.interactions) < len(before.interactions)
        before = fold


def test_random_folds_are_drawn_anew(dataset: Dataset) -> None:
    """For a source whose test set is a random draw."""
    drawn = [fold.held_out for fold in folds(replace(dataset, random_split=True), 2, seed=1)]
    assert drawn[0] is not None
    assert drawn[1] is not None
    pairs = [set(zip(part.users.tolist(), part.items.tolist(), strict=True)) for part in drawn if part]
    assert pairs[0] != pairs[1]


def test_no_feature_of_times_without_times(dataset: Dataset) -> None:
    """A source without timestamps is in no order that means anything."""
    names = PLAN.features(replace(dataset, timed=False), embedded=False)
    assert not {name for name in names if "session" in name}
    assert set(PLAN.features(dataset, embedded=True)) == set(FEATURES)


def test_exported_trees_score_as_lightgbm_does() -> None:
    """The same sums of leaves, without LightGBM."""
    found = random_examples()
    booster = boost(found, BOOSTING, seed=1)
    expected = booster.predict(found.table)
    assert TreeEnsemble(exported(booster)).score(found.table) == pytest.approx(expected, abs=1e-12)


def test_boosting_twice_grows_the_same_trees() -> None:
    """Bit for bit."""
    found = random_examples()
    assert exported(boost(found, BOOSTING, seed=1)) == exported(boost(found, BOOSTING, seed=1))


def test_the_linear_model_finds_the_feature_that_decides() -> None:
    """And gives the noise next to nothing."""
    linear = fit_linear(random_examples())
    assert linear.weights[0] > 2
    assert abs(linear.weights[1]) < 0.2
    found = random_examples()
    assert LinearModel(linear).score(found.table).shape == (len(found.table),)


def test_a_set_with_stage_2_survives_its_own_format(trained: TwoStages) -> None:
    """Neighbours and model read back as they were written, and score alike."""
    factors = trained.factors
    files = encode(factors, created="2026-01-01T00:00:00+00:00", training={})
    read = decode(parse_manifest(files[MANIFEST]), files.__getitem__)
    assert read.stage2 is not None
    assert factors.stage2 is not None
    assert read.neighbours is not None
    assert factors.neighbours is not None
    assert np.array_equal(read.neighbours.session, factors.neighbours.session)
    table = trained.examples[0].columns(factors.stage2.features).table[:50]
    assert read.stage2.score(table).tolist() == factors.stage2.score(table).tolist()


def test_a_model_that_reads_an_unknown_feature_is_not_served(trained: TwoStages) -> None:
    """A set of a later version's features is refused, and the old set stays."""
    assert trained.factors.stage2 is not None
    document = trained.factors.stage2.document
    strange = document.model_copy(update={"features": ("from_the_future", *document.features[1:])})
    broken = replace(trained.factors, stage2=type(trained.factors.stage2)(strange))
    files = encode(broken, created="2026-01-01T00:00:00+00:00", training={})
    assert STAGE2 in files
    with pytest.raises(ArtifactError, match="from_the_future"):
        decode(parse_manifest(files[MANIFEST]), files.__getitem__)


def test_users_too_sparse_to_hold_out_from_leave_no_stage_2() -> None:
    """Stage 1 serves alone, rather than a model of nothing."""
    assert train_two_stages(as_dataset([(1, 10, 1), (2, 10, 2), (2, 11, 3)]), PLAN).factors.stage2 is None


# co-occurrence alone, as EASE has it
EASE = NeighbourParameters(regularization=3.0, rating_weight=0.0, popularity_exponent=0.0)


def closed_form(dataset: Dataset, items: int) -> np.ndarray:
    """EASE, B = -P / diag(P) with a zero diagonal."""
    shown = np.zeros((items, items))
    shown[dataset.interactions.users, dataset.interactions.items] = 1
    inverse = np.linalg.inv(shown.T @ shown + EASE.regularization * np.eye(items))
    weights: np.ndarray = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def test_item_weights_are_ease() -> None:
    """On a small catalogue every item has a weight for every other, by the closed form."""
    dataset = checkerboard(12)
    found = learn_item_weights(np.arange(12), dataset.interactions, EASE, timed=False)
    assert found == pytest.approx(closed_form(dataset, 12), abs=1e-3)


def test_with_all_neighbours_the_regression_is_ease() -> None:
    """On the full support each column is EASE's closed form."""
    dataset = checkerboard(12)
    ids = np.arange(12)
    found = learn_neighbours(ids, dataset.interactions, replace(EASE, count=11))
    expected = closed_form(dataset, 12)
    dense = np.zeros((12, 12))
    # items of the other colour never occur together: the full regression gives them nothing, too
    np.add.at(dense, (ids[:, None], found.rows), found.ease)
    same = np.add.outer(ids, ids) % 2 == 0
    assert dense.T[same] == pytest.approx(expected[same], abs=1e-5)


def test_sessions_tie_what_was_chosen_together() -> None:
    """Two items within a minute weigh more for each other than two a month apart, though both pairs share a user."""
    month = 30 * 86_400
    rows = [(user, item, at) for user in range(8) for item, at in ((1, 0), (2, 30), (3, month), (4, 2 * month))]
    found = learn_neighbours(
        np.arange(1, 5), as_dataset(rows).interactions, NeighbourParameters(count=3, regularization=1)
    )
    weights = dict(zip(found.rows[0].tolist(), found.session[0].tolist(), strict=True))
    assert weights[1] > weights[2]
    assert weights[1] > weights[3]
