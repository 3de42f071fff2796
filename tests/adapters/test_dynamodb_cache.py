"""The score cache over DynamoDB: one round trip, its item's limits, and every failure by its name."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.dynamodb_cache import MAX_ENTRIES, DynamoDBScoreCache
from flagrank.adapters.in_memory import ManualClock
from flagrank.errors import CacheUnavailable
from flagrank.ports import ScoreRecord
from tests.adapters.loopback import Answer, Loopback, client

DAY = "2027-01-15"
A_WEEK_AFTER_ITS_END = dt.datetime(2027, 1, 23, tzinfo=dt.UTC)
RECORD = ScoreRecord({b"entry--1": 70}, expires_at=1_900_000_000)
KEYS = [{"pk": {"S": "scores#key"}}, {"pk": {"S": f"spend#{DAY}"}}]
SPEND = {"pk": {"S": f"spend#{DAY}"}, "micro_usd": {"N": "42"}}
SCORES = {
    "pk": {"S": "scores#key"},
    "scores": {"B": b"entry--1\x46"},
    "expires_at": {"N": "1900000000"},
    "revision": {"N": "1"},
}


@pytest.fixture
def cache(dynamodb: Any, table: str, clock: ManualClock) -> DynamoDBScoreCache:
    return DynamoDBScoreCache(dynamodb, table, clock)


@pytest.fixture
def stubbed() -> Iterator[tuple[DynamoDBScoreCache, Stubber]]:
    """A cache over a client that answers by a script, each answer checked against the service model."""
    made = client("dynamodb", "http://127.0.0.1:9")
    with Stubber(made) as stub:
        yield DynamoDBScoreCache(made, "scores", ManualClock()), stub
        stub.assert_no_pending_responses()


def batch(*items: dict[str, Any], unprocessed: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "Responses": {"scores": list(items)},
        "UnprocessedKeys": {"scores": {"Keys": unprocessed}} if unprocessed else {},
    }


def test_record_and_spend_are_one_round_trip(stubbed: tuple[DynamoDBScoreCache, Stubber]) -> None:
    """A read is a single BatchGetItem of two keys, in whatever order they come back."""
    cache, stub = stubbed
    stub.add_response("batch_get_item", batch(SPEND, SCORES), {"RequestItems": {"scores": {"Keys": KEYS}}})
    read = cache.read("key", DAY)
    assert read.record == ScoreRecord({b"entry--1": 70}, 1_900_000_000, 1)
    assert read.spent_micro_usd == 42


def test_an_unprocessed_key_is_asked_for_once_more(stubbed: tuple[DynamoDBScoreCache, Stubber]) -> None:
    """What the table had no capacity for is fetched by a second call for that alone."""
    cache, stub = stubbed
    stub.add_response("batch_get_item", batch(SCORES, unprocessed=KEYS[1:]))
    stub.add_response("batch_get_item", batch(SPEND), {"RequestItems": {"scores": {"Keys": KEYS[1:]}}})
    read = cache.read("key", DAY)
    assert read.record is not None
    assert read.spent_micro_usd == 42


def test_a_key_left_unprocessed_twice_is_an_unavailable_cache(stubbed: tuple[DynamoDBScoreCache, Stubber]) -> None:
    """An unread spend must not pass for nothing spent, and there is no third call."""
    cache, stub = stubbed
    stub.add_response("batch_get_item", batch(SCORES, unprocessed=KEYS[1:]))
    stub.add_response("batch_get_item", batch(unprocessed=KEYS[1:]))
    with pytest.raises(CacheUnavailable, match="twice"):
        cache.read("key", DAY)


def test_the_item_is_packed_and_expires_by_ttl(cache: DynamoDBScoreCache, dynamodb: Any, table: str) -> None:
    """Nine bytes an entry in one Binary, the expiry in the table's TTL attribute."""
    cache.write("key", RECORD)
    item = dynamodb.get_item(TableName=table, Key=KEYS[0])["Item"]
    assert item == SCORES


def test_the_day_s_spend_is_kept_for_a_week(cache: DynamoDBScoreCache, dynamodb: Any, table: str) -> None:
    """The counter expires seven days after its day has ended."""
    cache.reserve_spend(DAY, 5, 10**18)
    item = dynamodb.get_item(TableName=table, Key=KEYS[1])["Item"]
    assert (item["micro_usd"]["N"], item["expires_at"]["N"]) == ("5", f"{A_WEEK_AFTER_ITS_END.timestamp():.0f}")


def test_a_record_that_outgrows_its_item_keeps_the_newest(cache: DynamoDBScoreCache) -> None:
    """Beyond the cap the entries that were added first are let go."""
    entries = [index.to_bytes(8) for index in range(MAX_ENTRIES + 10)]
    cache.write("key", ScoreRecord(dict.fromkeys(entries, 50), RECORD.expires_at))
    record = cache.read("key", DAY).record
    assert record is not None
    assert list(record.scores) == entries[10:]


def unavailable(call: str, cache: DynamoDBScoreCache) -> None:
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: cache.read("key", DAY),
        "write": lambda: cache.write("key", RECORD),
        "reserve_spend": lambda: cache.reserve_spend(DAY, 5, 10**18),
    }
    with pytest.raises(CacheUnavailable):
        calls[call]()


OPERATIONS = {"read": "batch_get_item", "write": "put_item", "reserve_spend": "update_item"}


@pytest.mark.parametrize("call", OPERATIONS)
def test_a_table_that_is_not_there_is_an_unavailable_cache(dynamodb: Any, call: str) -> None:
    """ResourceNotFoundException surfaces as CacheUnavailable."""
    unavailable(call, DynamoDBScoreCache(dynamodb, "no-such-table", ManualClock()))


@pytest.mark.parametrize("call", OPERATIONS)
def test_a_refused_connection_is_an_unavailable_cache(call: str) -> None:
    """DynamoDB refusing to talk surfaces as CacheUnavailable."""
    unavailable(call, DynamoDBScoreCache(client("dynamodb", "http://127.0.0.1:9"), "scores", ManualClock()))


@pytest.mark.parametrize("call", ["read", "reserve_spend"])
@pytest.mark.parametrize("body", [b"<html>", b'{"Responses": ', b"\xff\xfe"], ids=["page", "cut off", "bytes"])
def test_an_answer_that_botocore_cannot_parse_is_an_unavailable_cache(call: str, body: bytes) -> None:
    """Under no other name, and a page of a proxy in between is no reservation of money."""
    with Loopback(lambda _: Answer(200, body)) as server:
        unavailable(call, DynamoDBScoreCache(client("dynamodb", server.url), "scores", ManualClock()))


@pytest.mark.parametrize("call", OPERATIONS)
def test_every_modelled_error_is_an_unavailable_cache(
    stubbed: tuple[DynamoDBScoreCache, Stubber], dynamodb: Any, call: str
) -> None:
    """No error of the three operations escapes under another name; a lost race is an answer and no error."""
    cache, stub = stubbed
    operation = dynamodb.meta.method_to_api_mapping[OPERATIONS[call]]
    shapes = {shape.name for shape in dynamodb.meta.service_model.operation_model(operation).error_shapes}
    for code in sorted(shapes - {"ConditionalCheckFailedException"}):
        stub.add_client_error(OPERATIONS[call], code)
        unavailable(call, cache)


@pytest.mark.parametrize(
    "damaged",
    [
        {**SCORES, "scores": {"B": b"not a multiple of nine"}},
        {key: value for key, value in SCORES.items() if key != "revision"},
        {key: value for key, value in SCORES.items() if key != "expires_at"},
        {**SCORES, "scores": {"S": "text"}},
        {**SCORES, "scores": {"B": b"entry--1\xff"}},
        {**SCORES, "scores": {"B": b"entry--1\x46entry--1\x05"}},
        {**SCORES, "revision": {"N": "0"}},
        {**SCORES, "expires_at": {"N": "1e400"}},
        {**SPEND, "micro_usd": {"S": "text"}},
        {**SPEND, "micro_usd": {"N": "1.5"}},
        {**SPEND, "micro_usd": {"N": "-1"}},
        {**SPEND, "pk": {"N": "1"}},
    ],
    ids=[
        "torn",
        "no revision",
        "no expiry",
        "text for scores",
        "relevance of 255",
        "an entry twice",
        "no written revision",
        "endless expiry",
        "text for spend",
        "half a micro-USD",
        "negative spend",
        "number for a key",
    ],
)
def test_a_foreign_item_is_an_unavailable_cache(
    stubbed: tuple[DynamoDBScoreCache, Stubber], damaged: dict[str, Any]
) -> None:
    """An item that this cache did not write is neither served nor a crash."""
    cache, stub = stubbed
    stub.add_response("batch_get_item", batch(damaged))
    unavailable("read", cache)


attribute_values = st.one_of(
    st.none(),
    st.text(max_size=9),
    st.integers(),
    st.lists(st.binary(max_size=9), max_size=3),
    st.dictionaries(
        st.sampled_from(["S", "N", "B", "L", "NULL"]),
        st.one_of(st.none(), st.booleans(), st.text(max_size=9), st.binary(max_size=20), st.integers(), st.floats()),
        max_size=2,
    ),
)
members = ["pk", "scores", "expires_at", "revision", "micro_usd"]


class Answering:
    """A client that answers every read with these items, whatever their shape."""

    def __init__(self, items: object) -> None:
        self.items = items

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"Responses": {"scores": self.items}}


@given(data=st.data())
def test_no_shape_of_an_item_leaves_the_cache_under_another_name(data: st.DataObject) -> None:
    """Any item gives relevance of 0 to 100 and a spend of 0 or more, or is an unavailable cache."""
    base: dict[str, Any] = data.draw(st.sampled_from([SCORES, SPEND]))
    changes = data.draw(st.dictionaries(st.sampled_from(members), attribute_values, max_size=3))
    dropped = data.draw(st.sets(st.sampled_from(members), max_size=1))
    item = {name: value for name, value in {**base, **changes}.items() if name not in dropped}
    items = data.draw(st.sampled_from([[item], [item, SPEND], item, None, [None], 7]))
    try:
        read = DynamoDBScoreCache(Answering(items), "scores", ManualClock()).read("key", DAY)
    except CacheUnavailable:
        return
    assert read.spent_micro_usd >= 0
    assert read.record is None or all(0 <= relevance <= 100 for relevance in read.record.scores.values())
