"""What is queued after a publication: a new set has new heads, which the worker judges before their users come."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flagrank.errors import QueueUnavailable
from flagrank.ports import JudgementQueue, JudgementTask
from flagrank.rerank.records import record_key
from flagrank.warming.heads import Head
from flagrank.warming.wanted import Wanted, most_active
from flagrank.warming.warmup import Warmup

# as long as a worker may be busy with the others; it ends each claim when it is done
CLAIM_S = 600


@dataclass(frozen=True, slots=True)
class Queued:
    """How many users of which set were looked at, and the tasks that came of it, with the most that they cost in USD.

    `left_out` says why others have none, by reason; `claimed` counts intents that somebody has queued already.
    """

    factors: str
    users: int = 0
    tasks: int = 0
    claimed: int = 0
    usd_at_most: float = 0.0
    left_out: dict[str, int] = field(default_factory=dict)


def queue_active(warmup: Warmup, users: int, queue: JudgementQueue) -> Queued:
    """Queues what is not judged of the treated among the most active users' heads, the most active first.

    Raises CacheUnavailable and QueueUnavailable; what was queued by then stays claimed.
    """
    wanted = Wanted()
    user_ids = most_active(warmup.factors, users)
    warmup.want_users(wanted, user_ids, _silent)
    left = warmup.left(wanted, _silent)
    tasks, claimed = _enqueue(warmup, left.pieces, queue)
    return Queued(
        factors=warmup.factors.version,
        users=len(user_ids),
        tasks=tasks,
        claimed=claimed,
        usd_at_most=left.estimate.cost_micro_usd / 1e6,
        left_out={str(reason): count for reason, count in wanted.left_out.items()},
    )


def _enqueue(warmup: Warmup, pieces: Sequence[Head], queue: JudgementQueue) -> tuple[int, int]:
    warmer, model_id = warmup.warmer, warmup.document.model_id
    version = warmer.judge.version(warmup.document)
    ours: dict[str, bool] = {}
    tasks = 0
    for piece in pieces:
        key = record_key(piece.intent, model_id, version)
        # a request that came in between has queued the intent, or this event came twice
        if key not in ours:
            ours[key] = warmer.cache.claim(key, CLAIM_S)
        if not ours[key]:
            continue
        try:
            queue.send(JudgementTask(piece.intent, model_id, version, piece.texts))
        except QueueUnavailable:
            # another attempt must find the intent free
            warmer.cache.release(key)
            raise
        tasks += 1
    return tasks, sum(not claimed for claimed in ours.values())


def _silent(done: int, total: int) -> None:
    """Nobody watches."""
