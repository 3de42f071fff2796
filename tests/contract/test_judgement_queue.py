"""What every JudgementQueue promises."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagrank.adapters.in_memory import InMemoryJudgementQueue
from flagrank.adapters.sqs_queue import SqsJudgementQueue
from flagrank.errors import QueueUnavailable
from flagrank.ports import JudgementQueue, JudgementTask
from flagrank.rerank.messages import read_task
from tests.adapters.cloud import new_queue
from tests.adapters.loopback import Answer, Loopback, client

TASK = JudgementTask("red shoes", "some.model", "listwise-1", ("a red shoe", "a blue hat"))

# what a proxy in between, or half an answer, looks like
UNREADABLE = {"page": b"<html>", "list": b"[]", "text": b'"x"', "cut off": b'{"MessageId": "', "bytes": b"\xff\xfe"}

type Received = Callable[[], list[JudgementTask]]


@pytest.fixture
def unreadable() -> Iterator[Loopback]:
    with Loopback(lambda call: Answer()) as server:
        yield server


@pytest.fixture(params=["in_memory", "sqs"])
def queue(request: pytest.FixtureRequest) -> tuple[JudgementQueue, Received]:
    """A queue, and a way to receive what is on it."""
    if request.param == "in_memory":
        memory = InMemoryJudgementQueue()

        def taken() -> list[JudgementTask]:
            tasks = memory.tasks
            memory.bodies.clear()
            return tasks

        return memory, taken
    sqs = request.getfixturevalue("sqs")
    url = new_queue(sqs)
    return SqsJudgementQueue(sqs, url), lambda: received(sqs, url)


def received(sqs: Any, url: str) -> list[JudgementTask]:
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [read_task(message["Body"]) for message in messages]


@pytest.fixture(params=["in_memory", "sqs gone", "sqs unreachable", *UNREADABLE])
def broken(request: pytest.FixtureRequest) -> JudgementQueue:
    """A queue that takes nothing, or whose answer nobody can read."""
    if request.param in UNREADABLE:
        server = request.getfixturevalue("unreadable")
        server.respond = lambda call: Answer(200, UNREADABLE[request.param])
        return SqsJudgementQueue(client("sqs", server.url), f"{server.url}/queue")
    if request.param == "in_memory":
        memory = InMemoryJudgementQueue()
        memory.broken = True
        return memory
    if request.param == "sqs gone":
        sqs = request.getfixturevalue("sqs")
        return SqsJudgementQueue(sqs, new_queue(sqs) + "-gone")
    return SqsJudgementQueue(client("sqs", "http://127.0.0.1:9"), "http://127.0.0.1:9/queue")


def test_a_task_arrives_as_it_was_sent(queue: tuple[JudgementQueue, Received]) -> None:
    """All of it, and each task as one message."""
    sent, taken = queue
    refresh = JudgementTask("blue hats", "some.model", "listwise-1", ("a",), refresh=True)
    sent.send(TASK)
    sent.send(refresh)
    assert sorted(taken(), key=lambda task: task.intent) == [refresh, TASK]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    intent=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=5),
)
def test_any_text_survives_the_way(queue: tuple[JudgementQueue, Received], intent: str, texts: list[str]) -> None:
    """Characters that SQS does not take as they are arrive unchanged as well."""
    sent, taken = queue
    task = JudgementTask(intent, "some.model", "listwise-1", tuple(texts))
    sent.send(task)
    assert taken() == [task]


def test_the_longest_task_fits_into_a_message(queue: tuple[JudgementQueue, Received]) -> None:
    """A hundred long texts of characters that take most bytes."""
    sent, taken = queue
    task = JudgementTask("狐" * 256, "some.model", "listwise-1", tuple(f"{n} " + "狐" * 240 for n in range(100)))
    sent.send(task)
    assert taken() == [task]


def test_a_queue_that_takes_nothing_says_so(broken: JudgementQueue) -> None:
    """Under one name, whatever the cause."""
    with pytest.raises(QueueUnavailable):
        broken.send(TASK)
