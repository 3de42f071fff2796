"""Scores and spend in DynamoDB: one read a request, one conditional write, one atomic counter.

A record packs all scores of an intent into one Binary, 9 bytes each (entry key, relevance): sixty items of their own
would cost ten times the client's CPU.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from flagrank.errors import CacheUnavailable
from flagrank.ports import CacheRead, Clock, ScoreRecord

KEY_BYTES = 8
ENTRY_BYTES = KEY_BYTES + 1
MAX_ENTRIES = 4000
MAX_RELEVANCE = 100
SPEND_KEPT_DAYS = 7
# longer than a batch's folder is kept, so that nothing is left to count again when the receipt is gone
RECEIPT_KEPT_DAYS = 90


class DynamoDBScoreCache:
    """The score cache over one table with the partition key `pk` and the TTL attribute `expires_at`."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def read(self, key: str, day: str, entries: Collection[bytes] = ()) -> CacheRead:
        """The live record and the day's spend in one BatchGetItem; raises CacheUnavailable."""
        keys = [{"pk": {"S": _scores_key(key)}}, {"pk": {"S": _spend_key(day)}}]
        with translated():
            answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys}})
            found = answer["Responses"].get(self._table, [])
            unread = answer.get("UnprocessedKeys")
            if unread:
                again = self._client.batch_get_item(RequestItems=unread)
                found += again["Responses"].get(self._table, [])
                if again.get("UnprocessedKeys"):
                    raise CacheUnavailable("DynamoDB left keys unread twice")
            items = {item["pk"]["S"]: item for item in found}
            spend = items.get(_spend_key(day))
            return CacheRead(
                record=self._live(items.get(_scores_key(key))),
                spent_micro_usd=_at_least(0, spend["micro_usd"]["N"]) if spend else 0,
            )

    def write(self, key: str, record: ScoreRecord) -> bool:
        """Stores the record as the next revision; False when another writer was first. Raises CacheUnavailable."""
        item = {
            "pk": {"S": _scores_key(key)},
            "scores": {"B": _packed(record.scores)},
            "expires_at": {"N": str(record.expires_at)},
            "revision": {"N": str(record.revision + 1)},
        }
        # TTL deletes days late: an expired record that still lies there counts as none
        condition = "revision = :revision" if record.revision else "attribute_not_exists(pk) OR expires_at <= :now"
        value = {":revision": {"N": str(record.revision)}} if record.revision else {":now": {"N": self._now()}}
        with translated():
            try:
                self._client.put_item(
                    TableName=self._table, Item=item, ConditionExpression=condition, ExpressionAttributeValues=value
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def reserve_spend(self, day: str, micro_usd: int, below_micro_usd: int) -> bool:
        """One conditional update; raises CacheUnavailable, after which the sum may have been added all the same."""
        adding = self._spending(day, micro_usd)
        adding["ExpressionAttributeValues"][":below"] = {"N": str(below_micro_usd)}
        # on a day without any spend nothing is spent, which is not below 0
        none_yet = "attribute_not_exists(pk) OR " if below_micro_usd > 0 else ""
        with translated():
            try:
                condition = f"{none_yet}micro_usd < :below"
                answer = self._client.update_item(**adding, ConditionExpression=condition, ReturnValues="UPDATED_NEW")
                # botocore takes a page of a proxy in between for an answer without members: that is no reservation
                _at_least(0, answer["Attributes"]["micro_usd"]["N"])
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def add_spend_once(self, day: str, micro_usd: int, receipt: str) -> bool:
        """Adds to the day's spend with a receipt, in one transaction; raises CacheUnavailable."""
        kept_until = int(self._clock.now()) + RECEIPT_KEPT_DAYS * 86_400
        noted = {
            "TableName": self._table,
            "Item": {"pk": {"S": f"receipt#{receipt}"}, "expires_at": {"N": str(kept_until)}},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        with translated():
            try:
                self._client.transact_write_items(
                    TransactItems=[{"Put": noted}, {"Update": self._spending(day, micro_usd)}]
                )
            except self._client.exceptions.TransactionCanceledException as error:
                if error.response["CancellationReasons"][0]["Code"] != "ConditionalCheckFailed":
                    raise
                return False
        return True

    def _spending(self, day: str, micro_usd: int) -> dict[str, Any]:
        end_of_day = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) + dt.timedelta(days=1 + SPEND_KEPT_DAYS)
        return {
            "TableName": self._table,
            "Key": {"pk": {"S": _spend_key(day)}},
            "UpdateExpression": "ADD micro_usd :more SET expires_at = :expires_at",
            "ExpressionAttributeValues": {
                ":more": {"N": str(micro_usd)},
                ":expires_at": {"N": str(int(end_of_day.timestamp()))},
            },
        }

    def claim(self, key: str, seconds: int) -> bool:
        """One conditional write; raises CacheUnavailable."""
        now_s = int(self._clock.now())
        with translated():
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item={"pk": {"S": _claim_key(key)}, "expires_at": {"N": str(now_s + seconds)}},
                    # as with records, what has expired and is not yet deleted counts as none
                    ConditionExpression="attribute_not_exists(pk) OR expires_at <= :now",
                    ExpressionAttributeValues={":now": {"N": str(now_s)}},
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def release(self, key: str) -> None:
        """One delete; raises CacheUnavailable."""
        with translated():
            self._client.delete_item(TableName=self._table, Key={"pk": {"S": _claim_key(key)}})

    def _live(self, item: Mapping[str, Any] | None) -> ScoreRecord | None:
        if item is None or int(item["expires_at"]["N"]) <= self._clock.now():
            return None
        revision = _at_least(1, item["revision"]["N"])
        return ScoreRecord(_unpacked(item["scores"]["B"]), int(item["expires_at"]["N"]), revision)

    def _now(self) -> str:
        return str(int(self._clock.now()))


@contextmanager
def translated() -> Iterator[None]:
    """Gives the table's failures as CacheUnavailable."""
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise CacheUnavailable(str(error)) from error
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise CacheUnavailable(f"an item is not as this cache writes them: {error!r}") from error


def _scores_key(key: str) -> str:
    return f"scores#{key}"


def _spend_key(day: str) -> str:
    return f"spend#{day}"


def _claim_key(key: str) -> str:
    return f"claim#{key}"


def _packed(scores: Mapping[bytes, int]) -> bytes:
    # the newest entries are the last: they are the ones to keep when a record outgrows its item
    kept = list(scores.items())[-MAX_ENTRIES:]
    return b"".join(entry + bytes((relevance,)) for entry, relevance in kept)


def _unpacked(packed: bytes) -> dict[bytes, int]:
    if len(packed) % ENTRY_BYTES:
        raise ValueError(f"{len(packed)} bytes of scores are no whole number of entries")
    starts = range(0, len(packed), ENTRY_BYTES)
    scores = {bytes(packed[start : start + KEY_BYTES]): packed[start + KEY_BYTES] for start in starts}
    if len(scores) < len(starts) or max(scores.values(), default=0) > MAX_RELEVANCE:
        raise ValueError(f"a relevance above {MAX_RELEVANCE}, or an entry twice")
    return scores


def _at_least(least: int, number: str) -> int:
    if int(number) < least:
        raise ValueError(f"{number} is below {least}")
    return int(number)
