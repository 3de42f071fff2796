"""An in-process tier in front of the score cache: a user who asks again costs no round trip."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace

from flagrank.errors import CacheUnavailable
from flagrank.ports import CacheRead, Clock, ScoreCache, ScoreRecord

SPEND_FRESH_S = 5.0


class TieredScoreCache:
    """Remembers the `max_records` records used last, and the day's spend for a few seconds."""

    def __init__(self, inner: ScoreCache, clock: Clock, max_records: int = 1000) -> None:
        self._inner = inner
        self._clock = clock
        self._max_records = max_records
        self._lock = threading.Lock()
        self._records: OrderedDict[str, ScoreRecord] = OrderedDict()
        self._spend: tuple[str, int] = ("", 0)
        self._spend_read_at = float("-inf")

    def read(self, key: str, day: str, entries: Collection[bytes] = ()) -> CacheRead:
        """From memory while the spend is fresh and the record holds all entries, else one inner read.

        A known record outlives an outage.
        """
        with self._lock:
            record = self._remembered(key)
            known_day, spent = self._spend
            fresh = known_day == day and self._clock.monotonic() - self._spend_read_at < SPEND_FRESH_S
        if record is not None and fresh and all(entry in record.scores for entry in entries):
            return CacheRead(record, spent)
        try:
            found = self._inner.read(key, day, entries)
        except CacheUnavailable:
            if record is None:
                raise
            return CacheRead(record, spent if known_day == day else 0)
        with self._lock:
            self._spend, self._spend_read_at = (day, found.spent_micro_usd), self._clock.monotonic()
            if found.record is not None:
                self._remember(key, found.record)
        return found

    def write(self, key: str, record: ScoreRecord) -> bool:
        """Writes through; on another writer's success the memory is dropped, so that the next read sees theirs."""
        written = self._inner.write(key, record)
        with self._lock:
            if written:
                self._remember(key, replace(record, revision=record.revision + 1))
            else:
                self._records.pop(key, None)
        return written

    def reserve_spend(self, day: str, micro_usd: int, below_micro_usd: int) -> bool:
        """The inner reservation; what it adds is remembered here as well."""
        is_reserved = self._inner.reserve_spend(day, micro_usd, below_micro_usd)
        with self._lock:
            known_day, spent = self._spend
            if is_reserved and known_day == day:
                self._spend = (day, spent + micro_usd)
        return is_reserved

    def claim(self, key: str, seconds: int) -> bool:
        """The inner claim: what another environment holds is not known here.

        The record is about to change, so the memory of it is dropped.
        """
        with self._lock:
            self._records.pop(key, None)
        return self._inner.claim(key, seconds)

    def release(self, key: str) -> None:
        """The inner release."""
        self._inner.release(key)

    def add_spend_once(self, day: str, micro_usd: int, receipt: str) -> bool:
        """Passed on: what is remembered of the spend is read anew within seconds."""
        return self._inner.add_spend_once(day, micro_usd, receipt)

    def _remembered(self, key: str) -> ScoreRecord | None:
        record = self._records.get(key)
        if record is None or record.expires_at <= self._clock.now():
            self._records.pop(key, None)
            return None
        self._records.move_to_end(key)
        return record

    def _remember(self, key: str, record: ScoreRecord) -> None:
        self._records[key] = record
        self._records.move_to_end(key)
        while len(self._records) > self._max_records:
            self._records.popitem(last=False)
