"""Lambda's event source mapping: takes batches from a queue to a function's environments, and deletes what succeeded.

What failed stays on the queue, and is visible again once its visibility timeout is over. So is what an environment had
in hand when it ended.
"""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flagrank.local.pool import EnvironmentEnded, Pool

# the stand-in answers one request after another, so that nobody may hold the line with a long poll
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class EventSourceMapping:
    """The mapping of one queue to one pool, with at most `concurrency` batches of `batch_size` messages at a time."""

    sqs: Any
    queue_url: str
    queue_arn: str
    pool: Pool
    concurrency: int
    batch_size: int
    _running: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Polls until it is cancelled; batches under way are then left to the queue."""
        slots, numbers, pause_s = asyncio.Semaphore(self.concurrency), itertools.count(1), FIRST_PAUSE_S
        while True:
            await slots.acquire()
            messages = await self._receive()
            if messages:
                pause_s = FIRST_PAUSE_S
                task = asyncio.create_task(self._invoke(messages, f"warm-{next(numbers):012d}"))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                task.add_done_callback(lambda _: slots.release())
            else:
                slots.release()
                await asyncio.sleep(pause_s)
                pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)

    async def _receive(self) -> list[dict[str, Any]]:
        try:
            answer = await asyncio.to_thread(
                self.sqs.receive_message,
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=self.batch_size,
                MessageSystemAttributeNames=["All"],
            )
        except (BotoCoreError, ClientError) as error:
            logger.warning("the queue was not read: %s", error)
            return []
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    async def _invoke(self, messages: Sequence[dict[str, Any]], request_id: str) -> None:
        event = {"Records": [self._record(message) for message in messages]}
        try:
            answer = await self.pool.invoke(event, request_id)
        except EnvironmentEnded:
            return
        if "result" not in answer:
            return
        failed = {entry["itemIdentifier"] for entry in answer["result"]["batchItemFailures"]}
        done = [message for message in messages if message["MessageId"] not in failed]
        if done:
            await asyncio.to_thread(self._delete, done)

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue_arn,
            "awsRegion": self.queue_arn.split(":")[3],
        }

    def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)
        ]
        try:
            self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            logger.warning("messages were not deleted, and will come again: %s", error)
