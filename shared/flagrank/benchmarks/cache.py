"""What a read of an intent's scores costs this process, beside other ways to keep them in DynamoDB."""

from collections.abc import Iterator
from typing import Any

from flagrank.adapters.dynamodb_cache import DynamoDBScoreCache
from flagrank.adapters.system_clock import SystemClock
from flagrank.adapters.tiered_cache import TieredScoreCache
from flagrank.benchmarks.aws import aws_client
from flagrank.benchmarks.results import OURS, Row, compared
from flagrank.benchmarks.timing import Step, interleaved
from flagrank.local import seed
from flagrank.local.cloud import TABLE
from flagrank.ports import ScoreRecord
from flagrank.rerank.records import utc_day

ITEMS, ROUNDS = 60, 200
REMEMBERED, ONE_ITEM, ITEM_EACH = "remembered in memory", "bare GetItem", "an item for each score"
TTL_S = 3600


def measure(tiny: bool) -> Iterator[Row]:
    """CPU of this process; the table is a stand-in in another."""
    with aws_client("dynamodb") as client:
        seed.create_table(client, TABLE)
        times = interleaved(_steps(client), 5 if tiny else ROUNDS, budget_s=30.0)
    yield from compared(f"{ITEMS} scores of one intent", times)


def _steps(client: Any) -> dict[str, Step]:
    clock = SystemClock()
    table, day = DynamoDBScoreCache(client, TABLE, clock), utc_day(clock.now())
    scores = {bytes([number]) * 8: number for number in range(ITEMS)}
    table.write("intent", ScoreRecord(scores, int(clock.now()) + TTL_S))
    table.reserve_spend(day, 1, 1_000_000)
    keys = [{"pk": {"S": f"one#{number}"}} for number in range(ITEMS)]
    for key in keys:
        client.put_item(TableName=TABLE, Item={**key, "relevance": {"N": "50"}, "expires_at": {"N": "1"}})
    tiered = TieredScoreCache(table, clock)
    tiered.read("intent", day)
    return {
        OURS: lambda _: table.read("intent", day),
        ONE_ITEM: lambda _: client.get_item(TableName=TABLE, Key={"pk": {"S": "scores#intent"}}),
        ITEM_EACH: lambda _: client.batch_get_item(RequestItems={TABLE: {"Keys": keys}}),
        REMEMBERED: lambda _: tiered.read("intent", day, scores),
    }
