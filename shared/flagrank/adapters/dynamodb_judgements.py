"""Judgements kept for training, in the table of the score cache: items of their own, which no request reads.

A record of the cache lives for a day and is keyed by hashes. These live as long as the setting says and hold the
intent's words; texts are named by their hashes, which the published catalogue resolves (infra/decisions/0073).
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from flagrank.adapters.dynamodb_cache import KEY_BYTES, translated
from flagrank.ports import Clock, KeptJudgements

PREFIX = "judged#"
ENTRY_BYTES = KEY_BYTES + 2
LAST_RANK = 255
DAY_S = 86_400


class DynamoDBJudgementLog:
    """A JudgementLog over one table with the partition key `pk` and the TTL attribute `expires_at`."""

    def __init__(self, client: Any, table: str, clock: Clock, keep_days: int) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._keep_days = keep_days

    def keep(self, judgements: KeptJudgements) -> None:
        """Writes one item, named by its content: delivered twice, it is kept once. Raises CacheUnavailable."""
        packed = b"".join(key + bytes((relevance, min(rank, LAST_RANK))) for key, relevance, rank in judgements.entries)
        judge = (judgements.model_id, judgements.version)
        name = hashlib.sha256("\0".join((judgements.intent, *judge)).encode() + packed).hexdigest()
        item = {
            "pk": {"S": f"{PREFIX}{name}"},
            "intent": {"S": judgements.intent},
            "model_id": {"S": judgements.model_id},
            "version": {"S": judgements.version},
            "entries": {"B": packed},
            "expires_at": {"N": str(int(self._clock.now()) + self._keep_days * DAY_S)},
        }
        with translated():
            self._client.put_item(TableName=self._table, Item=item)

    def kept(self) -> Iterator[KeptJudgements]:
        """Reads the whole table by pages; raises CacheUnavailable. TTL deletes late, so the expiry is checked."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="begins_with(pk, :prefix) AND expires_at > :now",
            ExpressionAttributeValues={":prefix": {"S": PREFIX}, ":now": {"N": str(int(self._clock.now()))}},
        )
        with translated():
            for page in pages:
                yield from map(_unpacked, page.get("Items", []))


def _unpacked(item: Mapping[str, Any]) -> KeptJudgements:
    packed = item["entries"]["B"]
    if len(packed) % ENTRY_BYTES:
        raise ValueError(f"{len(packed)} bytes of judgements are no whole number of entries")
    parts = (packed[start : start + ENTRY_BYTES] for start in range(0, len(packed), ENTRY_BYTES))
    entries = tuple((bytes(part[:KEY_BYTES]), part[KEY_BYTES], part[KEY_BYTES + 1]) for part in parts)
    return KeptJudgements(item["intent"]["S"], item["model_id"]["S"], item["version"]["S"], entries)
