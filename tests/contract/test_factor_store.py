"""What every FactorStore promises."""

from typing import Any, Protocol

import numpy as np
import pytest

from flagrank.adapters.in_memory import InlineExecutor, InMemoryFactorStore, ManualClock
from flagrank.adapters.s3_factors import S3FactorStore
from flagrank.errors import FactorsUnavailable
from flagrank.model.factors import Factors
from flagrank.ports import FactorStore, ReloadCounts
from tests.adapters.cloud import publish
from tests.factories import make_factors

POLL_S = 60.0


class Shelf(Protocol):
    """A store, and the way in which sets get there."""

    @property
    def store(self) -> FactorStore:
        """The store under test."""

    def publish(self, factors: Factors) -> None:
        """Puts a set into force, and lets the store notice."""


class InMemoryShelf:
    def __init__(self) -> None:
        self.store = InMemoryFactorStore()

    def publish(self, factors: Factors) -> None:
        self.store.publish(factors)


class S3Shelf:
    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self._bucket, self._clock = s3, bucket, ManualClock()
        self.store = S3FactorStore(s3, bucket, self._clock, poll_s=POLL_S, executor=InlineExecutor())

    def publish(self, factors: Factors) -> None:
        publish(self._s3, self._bucket, factors)
        self._clock.advance(POLL_S)


@pytest.fixture(params=["in_memory", "s3"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    if request.param == "in_memory":
        return InMemoryShelf()
    return S3Shelf(request.getfixturevalue("s3"), request.getfixturevalue("bucket"))


def test_an_empty_store_says_so(shelf: Shelf) -> None:
    """Before the first set there is FactorsUnavailable, with a reason to read."""
    with pytest.raises(FactorsUnavailable, match=r"\w+"):
        shelf.store.current()


def test_the_first_set_serves_as_soon_as_it_is_there(shelf: Shelf) -> None:
    """A store that was found empty recovers by itself."""
    with pytest.raises(FactorsUnavailable):
        shelf.store.current()
    shelf.publish(make_factors(seed=1))
    np.testing.assert_array_equal(shelf.store.current().item_factors, make_factors(seed=1).item_factors)


def test_what_was_published_comes_back_whole(shelf: Shelf) -> None:
    """Arrays, ids, catalogue, lexicon and fold-in parameters survive."""
    given = make_factors(seed=2)
    shelf.publish(given)
    served = shelf.store.current()
    for name in ("item_factors", "item_ids", "user_factors", "user_ids", "seen_indptr", "seen_indices", "popularity"):
        np.testing.assert_array_equal(getattr(served, name), getattr(given, name))
    assert [served.catalog[row] for row in range(50)] == [given.catalog[row] for row in range(50)]
    assert (served.lexicon, served.fold_in) == (given.lexicon, given.fold_in)


def test_a_newer_set_replaces_the_old_one(shelf: Shelf) -> None:
    """After publication and the poll interval the newer set serves."""
    shelf.publish(make_factors(seed=1))
    shelf.store.current()
    shelf.publish(make_factors(seed=2))
    np.testing.assert_array_equal(shelf.store.current().item_factors, make_factors(seed=2).item_factors)


def test_the_same_set_is_the_same_object(shelf: Shelf) -> None:
    """Nothing is loaded twice."""
    shelf.publish(make_factors())
    assert shelf.store.current() is shelf.store.current()


def test_reloads_are_handed_out_once(shelf: Shelf) -> None:
    """The first load is no reload; each replacement counts until it is drained."""
    shelf.publish(make_factors(seed=1))
    shelf.store.current()
    assert shelf.store.drain_reloads() == ReloadCounts()
    shelf.publish(make_factors(seed=2))
    shelf.store.current()
    assert shelf.store.drain_reloads() == ReloadCounts(loaded=1)
    assert shelf.store.drain_reloads() == ReloadCounts()
