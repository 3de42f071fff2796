"""Handlers for environments under test."""

import os
import time
from typing import Any

CALLS = {"count": 0}


def echo(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What arrived, and in which process."""
    CALLS["count"] += 1
    told = {"pid": os.getpid(), "count": CALLS["count"], "remaining_ms": context.get_remaining_time_in_millis()}
    action = (event.get("queryStringParameters") or {}).get("do")
    if action == "die":
        os._exit(3)
    if action == "sleep":
        time.sleep(30)
    if action == "raise":
        raise ValueError("told to")
    if action == "unserialisable":
        return {"body": object()}
    if action == "shout":
        print("x" * 3_000_000)
    if action == "binary":
        return {"statusCode": 201, "body": "AAEC", "isBase64Encoded": True, "headers": {"x-kind": "binary"}}
    if action == "cookies":
        return {"statusCode": 200, "body": "", "cookies": ["a=1", "b=2"]}
    print("a line on standard output", flush=True)
    return {"event": event, **told}
