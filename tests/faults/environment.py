"""The recommend function in an environment whose clock and name resolution can go wrong.

The file that `HARNESS_TROUBLE` names says how, and is read anew with each event. Each answer says which process gave
it and how long that took.
"""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

_trouble: dict[str, Any] = {}
_real_time, _real_getaddrinfo = time.time, socket.getaddrinfo


def _time() -> float:
    return _real_time() + float(_trouble.get("clock_shift_s", 0.0))


def _getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
    if port in _trouble.get("ports_without_name", ()):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _real_getaddrinfo(host, port, *args, **options)


def _look() -> None:
    global _trouble
    _trouble = json.loads(Path(os.environ["HARNESS_TROUBLE"]).read_text())


_look()
time.time = _time
socket.getaddrinfo = _getaddrinfo

from functions.recommend import app  # noqa: E402 - what it imports must find the clock that is ours


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The function's own answer, with two more headers."""
    _look()
    began_s = time.perf_counter()
    answer = app.handler(event, context)
    taken_ms = (time.perf_counter() - began_s) * 1000
    answer["headers"] = {**answer["headers"], "x-handler-ms": f"{taken_ms:.3f}", "x-environment": str(os.getpid())}
    return answer
