"""S3, DynamoDB and SQS on the loopback, and what the tests keep there."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from flagrank.local.processes import StandIn
from flagrank.local.serve import HOST
from flagrank.model.artifacts import POINTER, parse_manifest
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors
from tests.adapters.loopback import REGION

CREATED = "2026-01-01T00:00:00Z"


@contextmanager
def aws_stand_in() -> Iterator[str]:
    """S3, DynamoDB and SQS as the local cloud has them; yields their address."""
    stand_in = StandIn("aws", HOST, {})
    try:
        stand_in.wait()
        yield stand_in.url
    finally:
        stand_in.stop()


def new_bucket(s3: Any) -> str:
    """An empty bucket of its own for each test."""
    name = f"factors-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def new_table(dynamodb: Any) -> str:
    """An empty table of its own for each test, with the key schema of the template."""
    name = f"scores-{uuid.uuid4().hex}"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )
    return name


def new_queue(sqs: Any) -> str:
    """An empty queue of its own for each test; gives its address."""
    url: str = sqs.create_queue(QueueName=f"tasks-{uuid.uuid4().hex}")["QueueUrl"]
    return url


def publish(s3: Any, bucket: str, factors: Factors) -> str:
    """Publishes a set as the store expects to find one, pointer last; gives its version."""
    files = encode(factors, created=CREATED, training={})
    version = parse_manifest(files["manifest.json"]).version
    for name, data in files.items():
        s3.put_object(Bucket=bucket, Key=f"factors/{version}/{name}", Body=data)
    point(s3, bucket, version)
    return version


def point(s3: Any, bucket: str, version: str, previous: str | None = None) -> None:
    """Moves the pointer."""
    pointer = orjson.dumps({"version": version, "previous": previous, "activated": CREATED})
    s3.put_object(Bucket=bucket, Key=f"factors/{POINTER}", Body=pointer)
