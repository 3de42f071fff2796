"""`python -m flagrank.local.environment RESPONSES_FD`: one Lambda execution environment.

Loads the handler that `_HANDLER` names, then answers one event at a time: events are JSON lines on standard input,
results JSON lines on the inherited descriptor. Standard output is left to the function, which prints its metrics there.
Ends when standard input does, and by an alarm if the handler is stuck and nobody is left to end it.
"""

import importlib
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any, TextIO

INIT_S = 60.0
GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """The context object as Lambda passes it."""

    aws_request_id: str
    function_name: str
    memory_limit_in_mb: int
    invoked_function_arn: str
    deadline_s: float
    function_version: str = "$LATEST"
    log_group_name: str = "local"
    log_stream_name: str = "local"

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the function's timeout."""
        return max(0, int((self.deadline_s - time.monotonic()) * 1000))


def main() -> None:
    """Runs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_after(INIT_S)
    with os.fdopen(int(sys.argv[1]), "w") as results:
        sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
        try:
            module, _, name = os.environ["_HANDLER"].rpartition(".")
            handler = getattr(importlib.import_module(module), name)
        except Exception as error:
            _send(results, json.dumps(_failure(error)))
            raise
        _end_after(0)
        _send(results, json.dumps({"ready": True}))
        for line in sys.stdin.buffer:
            _send(results, _answer(handler, json.loads(line)))
            sys.stdout.flush()


def _answer(handler: Any, invocation: dict[str, Any]) -> str:
    name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    context = LambdaContext(
        aws_request_id=invocation["request_id"],
        function_name=name,
        memory_limit_in_mb=int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
        invoked_function_arn=f"arn:aws:lambda:local:000000000000:function:{name}",
        deadline_s=time.monotonic() + invocation["timeout_s"],
    )
    _end_after(invocation["timeout_s"] + GRACE_S)
    try:
        return json.dumps({"result": handler(invocation["event"], context)})
    except Exception as error:
        return json.dumps(_failure(error))
    finally:
        _end_after(0)


def _end_after(seconds: float) -> None:
    # the signal's default action ends the process whatever its threads do; 0 calls it off
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _failure(error: Exception) -> dict[str, Any]:
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "stackTrace": traceback.format_exception(error),
    }


def _send(results: TextIO, document: str) -> None:
    results.write(document + "\n")
    results.flush()


if __name__ == "__main__":
    main()
