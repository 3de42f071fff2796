"""Judgement tasks on an SQS queue."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from flagrank.errors import QueueUnavailable
from flagrank.ports import JudgementTask
from flagrank.rerank.messages import write_task


class SqsJudgementQueue:
    """A JudgementQueue over one standard queue: delivery may be twice, and out of order."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, task: JudgementTask) -> None:
        """One message; raises QueueUnavailable."""
        body = write_task(task)
        try:
            answer = self._client.send_message(QueueUrl=self._url, MessageBody=body)
            # botocore takes a page of a proxy in between for an answer without members
            _ = answer["MessageId"]
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailable(str(error)) from error
        except (ResponseParserError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise QueueUnavailable(f"an answer that is not SQS's: {error!r}") from error
