"""Lambda entry: after a publication, the profile intents of the most active users go on the queue to be judged."""

import logging
import os
from dataclasses import asdict
from typing import Any

from flagrank.bootstrap import queue_active_users

# where botocore found its credentials interests nobody
logging.getLogger("botocore").setLevel(logging.WARNING)

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


def handler(_event: object, _context: object) -> dict[str, Any]:
    """Answers with what was queued. A failure is raised, so that Lambda tries again: what is queued is claimed."""
    # all of it anew: an environment that is still warm would know the set before this one
    queued = asdict(queue_active_users(os.environ))
    logger.info("after a publication: %s", queued)
    return queued
