"""What an environment under SnapStart does before its snapshot and after each restore."""

import random
from collections.abc import Callable

from flagrank.adapters.aws_clients import close_connections


def survive_snapshots(reset: Callable[[], object]) -> None:
    """Leaves nothing in the snapshot that would be stale later, or alike in all that come of it.

    `reset` makes the flag source forget its session.
    """
    try:
        # part of the Lambda runtime alone
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:
        return
    register_before_snapshot(close_connections)
    register_after_restore(reset)
    # botocore spreads its retries by it
    register_after_restore(random.seed)
