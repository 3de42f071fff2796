"""Who gets the treatment: sticky, monotone in the percentage, integers only."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flagrank.domain import Arm, Reason, UserId
from flagrank.flags.document import FlagDocument

BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class RolloutDecision:
    """The arm and why. A value, never an exception.

    `draw` is the number that the flag's hash gave the user, None without a flag; its last four digits are the bucket.
    """

    arm: Arm
    reason: Reason
    draw: int | None = None


def draw(salt: str, user_id: UserId) -> int:
    """The number that places a user, 0..2^32 - 1: uniform, and independent between salts. This is `hash_version` 1."""
    return int(hashlib.sha256(f"{salt}:{user_id}".encode()).hexdigest()[:8], 16)


def bucket(salt: str, user_id: UserId) -> int:
    """The user's bucket, 0..9999."""
    return draw(salt, user_id) % BUCKETS


# a version stays what it is for ever: another hash would move every user, so it comes under another number
DRAWING: Mapping[int, Callable[[str, UserId], int]] = {1: draw}


def decide(flag: FlagDocument | None, user_id: UserId) -> RolloutDecision:
    """Which arm serves the user: `enabled` beats all, then deny, allow, split."""
    if flag is None:
        return RolloutDecision(Arm.CONTROL, Reason.NOT_CONFIGURED)
    drawn = DRAWING[flag.hash_version](flag.salt, user_id)
    if not flag.enabled:
        return RolloutDecision(Arm.CONTROL, Reason.DISABLED, drawn)
    if str(user_id) in flag.deny:
        return RolloutDecision(Arm.CONTROL, Reason.DENY, drawn)
    if str(user_id) in flag.allow:
        return RolloutDecision(Arm.TREATMENT, Reason.ALLOW, drawn)
    treated = drawn % BUCKETS < flag.threshold
    return RolloutDecision(Arm.TREATMENT if treated else Arm.CONTROL, Reason.SPLIT, drawn)
