"""What the score cache knows of an intent: its key, its entries, how scores are added, and when they lapse.

Pure, and shared by the request, which must not wait, and by those who judge ahead of it.
"""

import datetime as dt
import functools
import hashlib
from collections.abc import Iterable, Mapping

from flagrank.ports import ScoreRecord

ENTRY_KEY_BYTES = 8
TTL_JITTER = 0.1
# the last part of a record's life, in which it is judged anew for those who still ask
AGEING_SHARE = 0.1


def record_key(intent: str, model_id: str, version: str) -> str:
    """The cache key of everything judged for an intent; another model, wording or schema never meets the same key."""
    return hashlib.sha256("\0".join((intent, model_id, version)).encode()).hexdigest()


# the same items are candidates again and again, and a digest costs eight times the look-up; at most some 10 MB
@functools.lru_cache(maxsize=50_000)
def entry_key(text: str) -> bytes:
    """The key of one item's score within a record: a changed text is a new item."""
    return hashlib.sha256(text.encode()).digest()[:ENTRY_KEY_BYTES]


def claim_key(key: str, texts: Iterable[str]) -> str:
    """The key under which one of many identical requests claims to judge these texts: other texts are not held up."""
    return hashlib.sha256(key.encode() + b"".join(sorted(map(entry_key, texts)))).hexdigest()


def known_scores(record: ScoreRecord | None, texts: Mapping[int, str]) -> dict[int, int]:
    """Relevance 0..100 by position, of the texts that the record holds."""
    scores = record.scores if record else {}
    entries = {place: entry_key(text) for place, text in texts.items()}
    return {place: scores[entry] for place, entry in entries.items() if entry in scores}


def entries_of(relevance: Mapping[int, int], texts: Mapping[int, str]) -> dict[bytes, int]:
    """Relevance by position as a record keeps it."""
    return {entry_key(texts[place]): score for place, score in relevance.items()}


def added(before: ScoreRecord | None, fresh: Mapping[bytes, int], expires_at: int) -> ScoreRecord:
    """The record with fresh scores, as the revision after `before`. The expiry counts for a new record alone.

    A record that is added to for ever must still grow old.
    """
    if before is None:
        return ScoreRecord(dict(fresh), expires_at)
    return ScoreRecord({**before.scores, **fresh}, before.expires_at, before.revision)


def expiry(key: str, now_s: float, ttl_s: int) -> int:
    """When a record that is written now lapses, in epoch seconds; spread by key, so that not all lapse at once."""
    jitter = 1 + TTL_JITTER * (int(key[:4], 16) / 0x8000 - 1)
    return int(now_s + ttl_s * jitter)


def is_ageing(record: ScoreRecord, now_s: float, ttl_s: int) -> bool:
    """Whether the record lapses soon: it has less than AGEING_SHARE of the TTL left."""
    return record.expires_at - now_s < AGEING_SHARE * ttl_s


def utc_day(now_s: float) -> str:
    """The day under which spend is counted, as YYYY-MM-DD."""
    return dt.datetime.fromtimestamp(now_s, dt.UTC).date().isoformat()


def tells_apart(scores: Iterable[int]) -> bool:
    """Whether the scores carry any order: a model that answers all alike has judged nothing."""
    return len(set(scores)) > 1
