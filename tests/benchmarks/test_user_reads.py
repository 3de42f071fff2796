"""One user from S3 by range, against an item of DynamoDB: own CPU, bytes, and what publishing takes (decision 0082)."""

import base64
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from flagrank.model.users import BlockWriter, UserIndex, Users
from tests.adapters.cloud import aws_stand_in, new_bucket, new_table
from tests.adapters.loopback import client

USERS, DIMENSION, SEEN, STORED_ITEMS, READS = 30_000, 64, 50, 500, 200
BLOCKS_KIB = (16, 128, 256)
LIMIT = 2.0


@pytest.fixture
def cloud() -> Iterator[tuple[Any, Any]]:
    """Clients of S3 and DynamoDB on the loopback."""
    with aws_stand_in() as url:
        s3, dynamodb = client("s3", url), client("dynamodb", url, read_timeout_s=30)
        yield s3, dynamodb
        s3.close()
        dynamodb.close()


def drawn_users() -> Users:
    """Users with about SEEN seen items each."""
    dice = np.random.default_rng(0)
    counts = dice.poisson(SEEN, USERS)
    return Users(
        np.arange(USERS, dtype=np.int64) * 97,
        dice.standard_normal((USERS, DIMENSION)).astype(np.float32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        dice.integers(0, 1_000_000, counts.sum()).astype(np.int32),
    )


def in_s3(s3: Any, bucket: str, users: Users, block_kib: int) -> Callable[[int], int]:
    """Writes the users' file; gives what reads a user of it, and says how many bytes it read."""
    data, started = bytearray(), time.process_time()
    writer = BlockWriter(data.extend, DIMENSION, block_kib * 1024)
    writer.add(users)
    index: UserIndex = writer.index(np.int64)
    written_s, started = time.process_time() - started, time.process_time()
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    s3.put_object(Bucket=bucket, Key=str(block_kib), Body=bytes(data), ChecksumSHA256=checksum)
    sent_s, megabytes = time.process_time() - started, len(data) / 1e6
    print(
        f"S3 {block_kib} KiB: {megabytes / written_s:.0f} MB written and {megabytes / sent_s:.0f} sent, each CPU second"
    )

    def read(user_id: int) -> int:
        place = index.place_of(user_id)
        assert place is not None
        span = f"bytes={place.start}-{place.start + place.size - 1}"
        body = s3.get_object(Bucket=bucket, Key=str(block_kib), Range=span)["Body"].read()
        assert index.verified(place, body).find(user_id) is not None
        return len(body)

    return read


def in_dynamodb(dynamodb: Any, table: str, users: Users) -> Callable[[int], int]:
    """Writes some of the users as items; gives what reads one."""
    started = time.process_time()
    for start in range(0, STORED_ITEMS, 25):
        puts = [{"PutRequest": {"Item": _item(users, row)}} for row in range(start, start + 25)]
        dynamodb.batch_write_item(RequestItems={table: puts})
    print(f"DynamoDB: {(time.process_time() - started) / STORED_ITEMS * 1e6:.0f} us of CPU to write a user")

    def read(user_id: int) -> int:
        found = dynamodb.get_item(TableName=table, Key={"pk": {"S": str(user_id)}}, ProjectionExpression="v")
        value: bytes = found["Item"]["v"]["B"]
        np.frombuffer(value, np.float32, DIMENSION)
        return len(value)

    return read


def _item(users: Users, row: int) -> dict[str, Any]:
    user_id = users.ids[row].item()
    known = users.find(user_id)
    assert known is not None
    return {"pk": {"S": str(user_id)}, "v": {"B": known.vector.tobytes() + known.seen.tobytes()}}


def test_a_user_of_a_block_costs_little_more_than_an_item_of_dynamodb(cloud: tuple[Any, Any]) -> None:
    """Interleaved reads of the same users; the CPU of a block's is under twice that of an item's."""
    s3, dynamodb = cloud
    users, bucket = drawn_users(), new_bucket(s3)
    ways = {f"S3 {kib} KiB": in_s3(s3, bucket, users, kib) for kib in BLOCKS_KIB}
    ways["DynamoDB"] = in_dynamodb(dynamodb, new_table(dynamodb), users)
    used: dict[str, list[float]] = {name: [] for name in ways}
    took: dict[str, list[float]] = {name: [] for name in ways}
    size: dict[str, int] = {}
    dice = random.Random(0)
    for _ in range(READS):
        user_id = users.ids[dice.randrange(STORED_ITEMS)].item()
        for name in dice.sample(sorted(ways), len(ways)):
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            size[name] = ways[name](user_id)
            used[name].append(1000 * (time.process_time() - cpu_s))
            took[name].append(1000 * (time.perf_counter() - wall_s))
    for name in ways:
        p50, p99 = np.percentile(took[name], (50, 99))
        cpu_ms = np.median(used[name])
        print(f"{name}: {cpu_ms:.2f} ms of CPU, p50 {p50:.1f} and p99 {p99:.1f} ms, {size[name]} bytes")
    print(f"load {os.getloadavg()[0]:.1f}")
    assert np.median(used["S3 128 KiB"]) < LIMIT * np.median(used["DynamoDB"])
