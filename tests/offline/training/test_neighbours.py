"""What item neighbours cost, and what they are learned from."""

from dataclasses import replace

import numpy as np
import pytest

from flagrank.model.factors import Neighbours
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.training import gram, neighbours
from flagrank.offline.training.neighbours import NeighbourParameters, learn_item_weights, learn_neighbours
from tests.offline.datasets import as_dataset, shop

PARAMETERS = NeighbourParameters(count=20, regularization=5.0)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return shop(("audio",))


def learned(dataset: Dataset, timed: bool = True) -> Neighbours:
    return learn_neighbours(
        np.unique(dataset.interactions.items), dataset.interactions.latest(), PARAMETERS, timed=timed
    )


def test_sparse_and_dense_blocks_hold_the_same(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large catalogue's path finds what a small one's does."""
    dense = learned(dataset)
    monkeypatch.setattr(gram, "DENSE_ITEMS", 0)
    sparse = learned(dataset)
    assert np.array_equal(sparse.rows, dense.rows)
    assert sparse.ease == pytest.approx(dense.ease, abs=1e-6)
    assert sparse.session == pytest.approx(dense.session, abs=1e-6)


def test_an_endless_history_counts_with_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """In both matrices: somebody who took everything costs the square of the last few alone."""
    monkeypatch.setattr(gram, "MAX_HISTORY", 3)
    found = learned(as_dataset([(1, item, item) for item in range(8)]))
    tied = {row for row in range(8) if found.ease[row].any() or found.session[row].any()}
    assert tied == {5, 6, 7}


def test_without_times_neighbours_are_those_of_co_occurrence(dataset: Dataset) -> None:
    """The numbers of lines say nothing: in another order they make the same neighbours."""
    found = learned(dataset, timed=False)
    times = np.random.default_rng(0).permutation(len(dataset.interactions))
    shuffled = learned(replace(dataset, interactions=replace(dataset.interactions, timestamps=times)), timed=False)
    assert np.array_equal(found.rows, shuffled.rows)
    assert np.array_equal(found.session, found.ease)
    assert not np.array_equal(learned(dataset).session, found.session)


def test_an_item_that_is_always_alone_has_no_neighbours() -> None:
    """And no weights."""
    found = learned(as_dataset([(1, 1, 1), (2, 2, 1), (2, 3, 2)]))
    assert not found.ease[0].any()
    assert found.ease[1].any()


def test_progress_hears_of_each_chunk(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first to the last item."""
    monkeypatch.setattr(neighbours, "CHUNK_ITEMS", 70)
    heard: list[tuple[str, int, int]] = []
    item_ids = np.unique(dataset.interactions.items)
    learn_neighbours(item_ids, dataset.interactions.latest(), PARAMETERS, progress=lambda *step: heard.append(step))
    assert heard == [("finding neighbours", done, 180) for done in (70, 140, 180)]


def as_dense(found: Neighbours, items: int) -> np.ndarray:
    """`session` as a matrix: what a seen item (row) says of another (column)."""
    dense = np.zeros((items, items), np.float32)
    np.add.at(dense, (found.rows, np.arange(items)[:, None]), found.session)
    return dense


def test_all_weights_at_once_are_those_of_all_neighbours() -> None:
    """The closed form and the regression of each item solve the same problem, with ratings, times and popularity."""
    rng, ids = np.random.default_rng(0), np.arange(16)
    taken = [(user, item) for user in range(40) for item in rng.choice(16, 6 + user % 8, replace=False).tolist()]
    plain = as_dataset([(user, item, int(rng.integers(3000))) for user, item in taken]).interactions
    rated = replace(plain, values=rng.integers(1, 6, len(plain)).astype(np.float32)).latest()
    one_by_one = learn_neighbours(ids, rated, replace(PARAMETERS, count=15))
    assert as_dense(one_by_one, 16) == pytest.approx(learn_item_weights(ids, rated, PARAMETERS), abs=1e-3)


def test_a_popular_item_s_word_counts_for_less(dataset: Dataset) -> None:
    """With an exponent, what the most popular item says weighs less beside what the least popular one says."""
    ids, interactions = np.unique(dataset.interactions.items), dataset.interactions.latest()
    popularity = np.bincount(np.searchsorted(ids, interactions.items))
    said = [
        np.abs(learn_item_weights(ids, interactions, replace(PARAMETERS, popularity_exponent=exponent))).sum(axis=1)
        for exponent in (0.0, 0.4)
    ]
    ratios = [weight[popularity.argmax()] / weight[popularity.argmin()] for weight in said]
    assert ratios[1] < ratios[0]


def test_one_huge_value_does_not_drown_the_others() -> None:
    """A count of thousands is worth a few ordinary ones, and scales of ratings mean the same."""
    rows = [(user, item, user + item) for user in range(6) for item in range(4)]
    plain = as_dataset(rows).interactions
    ids, huge = np.arange(4), plain.values.copy()
    huge[0] = 1e6
    found = learn_item_weights(ids, replace(plain, values=huge), PARAMETERS)
    assert np.isfinite(found).all()
    tenfold = learn_item_weights(ids, replace(plain, values=np.full(len(rows), 10, np.float32)), PARAMETERS)
    assert tenfold == pytest.approx(learn_item_weights(ids, plain, PARAMETERS), abs=1e-3)


@pytest.mark.parametrize(("items", "count"), [(3000, None), (3001, 200)])
def test_a_large_catalogue_gets_neighbours(items: int, count: int | None) -> None:
    """Weights between all items grow with the square of their number; a given count holds for any."""
    assert NeighbourParameters().resolved(items) == count
    assert NeighbourParameters(count=7).resolved(items) == 7
