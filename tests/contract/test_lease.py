"""What every LeaseStore promises."""

from dataclasses import replace

import pytest

from flagrank.adapters.control.dynamodb_lease import DynamoDBLeases
from flagrank.adapters.control.in_memory_lease import InMemoryLeases
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.lease import Lease, LeaseStore
from flagrank.errors import CloudError


@pytest.fixture(params=["in_memory", "dynamodb"])
def store(request: pytest.FixtureRequest, clock: ManualClock) -> LeaseStore:
    if request.param == "in_memory":
        return InMemoryLeases(clock)
    return DynamoDBLeases(request.getfixturevalue("dynamodb"), request.getfixturevalue("table"), "a/b/c", clock)


@pytest.fixture
def mine(clock: ManualClock) -> Lease:
    return Lease("mine", "me", "1,5,25", "laptop", 123, int(clock.now()) + 100)


@pytest.fixture
def theirs(mine: Lease) -> Lease:
    return replace(mine, holder="theirs", actor="night-shift", pid=456)


def test_nobody_has_the_lease_at_first(store: LeaseStore) -> None:
    """Nothing is at work."""
    assert store.current() is None


def test_a_lease_is_read_as_it_was_taken(store: LeaseStore, mine: Lease) -> None:
    """Actor, ramp, place and expiry."""
    assert store.take(mine) is None
    assert store.current() == mine


def test_another_s_lease_is_in_the_way_and_named(store: LeaseStore, mine: Lease, theirs: Lease) -> None:
    """It stays as it is."""
    store.take(theirs)
    assert store.take(mine) == theirs
    assert store.current() == theirs


def test_a_holder_renews_its_lease(store: LeaseStore, mine: Lease) -> None:
    """It lasts longer then."""
    store.take(mine)
    later = replace(mine, expires_s=mine.expires_s + 50)
    assert store.take(later) is None
    assert store.current() == later


def test_a_lease_ends_by_itself(store: LeaseStore, clock: ManualClock, mine: Lease, theirs: Lease) -> None:
    """A ramp whose machine is gone is in nobody's way for long."""
    store.take(theirs)
    clock.advance(101)
    assert store.current() is None
    assert store.take(replace(mine, expires_s=mine.expires_s + 200)) is None


def test_a_lease_can_be_taken_over(store: LeaseStore, mine: Lease, theirs: Lease) -> None:
    """The holder before learns of it when it renews."""
    store.take(theirs)
    assert store.take(mine, over=True) is None
    assert store.take(theirs) == mine


def test_only_the_holder_gives_a_lease_up(store: LeaseStore, mine: Lease, theirs: Lease) -> None:
    """Whoever lost it does not take it away from whoever has it."""
    store.take(mine)
    store.release(theirs.holder)
    assert store.current() == mine
    store.release(mine.holder)
    store.release(mine.holder)
    assert store.current() is None


def test_the_leases_of_two_flags_are_apart(dynamodb: object, table: str, clock: ManualClock, mine: Lease) -> None:
    """One table may serve the environments of one stack."""
    DynamoDBLeases(dynamodb, table, "a/b/c", clock).take(mine)
    assert DynamoDBLeases(dynamodb, table, "a/b/d", clock).current() is None


def test_what_this_release_cannot_read_is_an_outage(dynamodb: object, table: str, clock: ManualClock) -> None:
    """A table that is not there, and an item of another release."""
    with pytest.raises(CloudError):
        DynamoDBLeases(dynamodb, "no-such-table", "a/b/c", clock).current()
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "lease#ramp#a/b/c"}})  # type: ignore[attr-defined]
    with pytest.raises(CloudError, match="not as this release writes it"):
        DynamoDBLeases(dynamodb, table, "a/b/c", clock).current()
