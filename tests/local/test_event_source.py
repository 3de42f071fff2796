"""The event source mapping: what of a batch leaves the queue, and what stays."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from flagrank.local.event_source import EventSourceMapping
from flagrank.local.pool import EnvironmentEnded
from flagrank.local.seed import MAX_RECEIVES, create_queue
from tests.adapters.cloud import aws_stand_in
from tests.adapters.loopback import client

type Handle = Callable[[list[str]], list[str] | Exception]


class Environments:
    """A pool whose function is given: of a batch's bodies, those that failed, or how the environment ended."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.events: list[Mapping[str, Any]] = []
        self.running = self.most_running = 0

    async def invoke(self, event: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        """The partial batch response."""
        self.events.append(event)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        await asyncio.sleep(0.02)
        self.running -= 1
        failed = self._handle([record["body"] for record in event["Records"]])
        if isinstance(failed, Exception):
            raise failed
        ids = [record["messageId"] for record in event["Records"] if record["body"] in failed]
        return {"result": {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in ids]}}


@pytest.fixture(scope="module")
def sqs() -> Iterator[Any]:
    with aws_stand_in() as url:
        made = client("sqs", url)
        yield made
        made.close()


def drained(sqs: Any, name: str, bodies: list[str], handle: Handle, seconds: float = 1.5) -> Environments:
    """A queue's messages through a mapping of two batches of three at a time, for so long."""
    url, arn = create_queue(sqs, name, visibility_s=1)
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)
    pool = Environments(handle)
    mapping = EventSourceMapping(sqs, url, arn, pool, concurrency=2, batch_size=3)  # type: ignore[arg-type]

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mapping.run(), seconds)

    asyncio.run(run())
    return pool


def on_queue(sqs: Any, name: str) -> int:
    """The messages that are still there, visible or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[entry]) for entry in names)


def test_what_succeeds_leaves_the_queue(sqs: Any) -> None:
    """Every message is handled once, in batches, and no more batches at a time than allowed."""
    bodies = [f"task {number}" for number in range(10)]
    pool = drained(sqs, "succeeds", bodies, lambda _: [])
    handled = [record["body"] for event in pool.events for record in event["Records"]]
    assert sorted(handled) == bodies
    assert max(len(event["Records"]) for event in pool.events) == 3
    assert pool.most_running == 2
    assert on_queue(sqs, "succeeds") == 0


def test_what_fails_comes_again_and_the_rest_does_not(sqs: Any) -> None:
    """A partial batch response leaves the failed ones, and their later success removes them."""
    failures = iter([["bad"]])
    pool = drained(sqs, "fails", ["good", "bad"], lambda bodies: next(failures, []) if "bad" in bodies else [], 3.5)
    handled = [record["body"] for event in pool.events for record in event["Records"]]
    assert sorted(handled) == ["bad", "bad", "good"]
    assert on_queue(sqs, "fails") == 0


def test_what_an_environment_had_in_hand_comes_again(sqs: Any) -> None:
    """An environment that ends says nothing of its messages, so all of them come back."""
    ends = iter([EnvironmentEnded("Runtime exited")])
    pool = drained(sqs, "ends", ["one", "two"], lambda _: next(ends, []), 3.5)
    handled = [record["body"] for event in pool.events for record in event["Records"]]
    assert sorted(handled) == ["one", "one", "two", "two"]
    assert on_queue(sqs, "ends") == 0


def test_an_event_has_what_lambda_s_has(sqs: Any) -> None:
    """The worker reads a message's id, body and the time at which it was sent."""
    (event,) = drained(sqs, "event", ["task"], lambda _: []).events
    (record,) = event["Records"]
    assert (record["eventSource"], record["awsRegion"]) == ("aws:sqs", "eu-west-1")
    assert record["eventSourceARN"].endswith(":event")
    assert int(record["attributes"]["SentTimestamp"]) > 0


def test_a_message_that_always_fails_ends_among_the_dead(sqs: Any) -> None:
    """After so many deliveries it is set aside, and stands in nobody's way."""
    url, _ = create_queue(sqs, "hopeless", visibility_s=0)
    sqs.send_message(QueueUrl=url, MessageBody="hopeless")
    for _ in range(MAX_RECEIVES + 1):
        sqs.receive_message(QueueUrl=url)
    assert (on_queue(sqs, "hopeless"), on_queue(sqs, "hopeless-dead")) == (0, 1)
