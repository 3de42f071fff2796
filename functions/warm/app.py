"""Lambda entry: judges what no request waits for, a message for each intent; what failed is delivered again."""

import logging
import os
from typing import Any

from flagrank.bootstrap import build_worker
from flagrank.rerank.worker import messages_of

# nobody reads where botocore found its credentials, or a line for each call
for chatty in ("botocore", "httpx"):
    logging.getLogger(chatty).setLevel(logging.WARNING)

_worker = build_worker(os.environ)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers an SQS event with its partial batch response."""
    failed = _worker.handle(messages_of(event), context.get_remaining_time_in_millis() / 1000)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
