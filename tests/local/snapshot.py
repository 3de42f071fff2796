"""`python -m tests.local.snapshot`: one environment that is snapshot and restored twice, by fork, as SnapStart would.

Prints a JSON line once it may be restored, waits for a line on standard input, and prints one for each restored
environment. The hooks are those that the service registers with Lambda's runtime, which is played here.
"""

import json
import os
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEFORE: list[Callable[[], object]] = []
AFTER: list[Callable[[], object]] = []


def main() -> None:
    """Starts, is snapshot, and is restored twice."""
    runtime = types.ModuleType("snapshot_restore_py")
    runtime.register_before_snapshot = BEFORE.append  # type: ignore[attr-defined]
    runtime.register_after_restore = AFTER.append  # type: ignore[attr-defined]
    sys.modules["snapshot_restore_py"] = runtime

    from functions.recommend.app import handler

    # the runtime runs the hooks in reverse before the snapshot, and in order after it
    for hook in reversed(BEFORE):
        hook()
    drawn_so_far = random.getstate()
    print(json.dumps({"sockets": sockets()}), flush=True)
    sys.stdin.readline()
    for _ in range(2):
        child = os.fork()
        if child == 0:
            # Python seeds anew after a fork, and a snapshot knows of none
            random.setstate(drawn_so_far)
            restored(handler)
        os.waitpid(child, 0)


def restored(handler: Callable[[dict[str, Any], Any], dict[str, Any]]) -> None:
    """One restored environment: its first answer, and what it draws."""
    for hook in AFTER:
        hook()
    answer = handler({"user_id": 1, "top_k": 5}, None)
    print(json.dumps({"drawn": random.random(), **answer}), flush=True)
    os._exit(0)


def sockets() -> int:
    """How many sockets this process holds open."""
    return sum("socket:" in str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


if __name__ == "__main__":
    main()
