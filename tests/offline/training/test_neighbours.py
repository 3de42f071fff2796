"""What item neighbours cost, and what they are learned from."""

from dataclasses import replace

import numpy as np
import pytest

from flagrank.model.factors import Neighbours
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.training import neighbours
from flagrank.offline.training.neighbours import NeighbourParameters, learn_neighbours
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
    monkeypatch.setattr(neighbours, "DENSE_ITEMS", 0)
    sparse = learned(dataset)
    assert np.array_equal(sparse.rows, dense.rows)
    assert sparse.ease == pytest.approx(dense.ease, abs=1e-6)
    assert sparse.session == pytest.approx(dense.session, abs=1e-6)


def test_an_endless_history_counts_with_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """In both matrices: somebody who took everything costs the square of the last few alone."""
    monkeypatch.setattr(neighbours, "MAX_HISTORY", 3)
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


def test_progress_hears_of_each_item(dataset: Dataset) -> None:
    """From one to the last."""
    heard: list[tuple[str, int, int]] = []
    item_ids = np.unique(dataset.interactions.items)
    learn_neighbours(item_ids, dataset.interactions.latest(), PARAMETERS, progress=lambda *step: heard.append(step))
    assert heard == [("finding neighbours", done, len(item_ids)) for done in range(1, len(item_ids) + 1)]
