"""The rerank of a list's head: cached scores are free, missing ones are judged, and money and failures have limits.

A cached score is served even while the breaker is open or the day's money is spent. An unreadable cache means no
rerank: the day's spend lies beside the scores, and no judge is asked without a cost limit (infra/decisions/0002).
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from flagrank.domain import Candidate, RerankTally
from flagrank.errors import (
    AllTied,
    BreakerOpen,
    BudgetExhausted,
    CacheUnavailable,
    CostCapReached,
    LowCoverage,
    RerankError,
)
from flagrank.flags.document import FlagDocument
from flagrank.ports import CacheRead, Clock, ScoreCache, ScoreRecord
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.judge import Judge, Judgement
from flagrank.rerank.listwise import worth_calling
from flagrank.rerank.parsing import MIN_COVERAGE
from flagrank.timing import Deadline

ENTRY_KEY_BYTES = 8
TTL_JITTER = 0.1


class Reranker(Protocol):
    """Judges the head of the list."""

    def prompt_version(self, flag: FlagDocument) -> str | None:
        """The wording and form under which it asks, None if it never asks."""

    def rerank(
        self, head: Sequence[Candidate], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Mapping[int, int]:
        """Relevance 0..100 by position in `head`, for at least half of them; raises RerankError; fills `tally`."""


class IdentityReranker:
    """Judges nothing, which leaves the baseline order: for environments without an LLM."""

    def prompt_version(self, flag: FlagDocument) -> str | None:
        """None: it never asks."""
        return None

    def rerank(
        self, head: Sequence[Candidate], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Mapping[int, int]:
        """No relevance at all."""
        return {}


@dataclass(frozen=True, slots=True)
class LLMReranker:
    """The reranker over a judge and a score cache. `executor` runs the cache's calls; the TTL is in seconds."""

    judge: Judge
    cache: ScoreCache
    breaker: Breaker
    clock: Clock
    executor: Executor
    cache_ttl_s: int

    def prompt_version(self, flag: FlagDocument) -> str | None:
        """The judge's version."""
        return self.judge.version(flag)

    def rerank(
        self, head: Sequence[Candidate], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Mapping[int, int]:
        """Relevance by position: from the cache where the text was judged for this intent, from the judge where not."""
        key, day = record_key(intent, flag.model_id, self.judge.version(flag)), self._day()
        entry_keys = [entry_key(candidate.text) for candidate in head]
        stored = self._read(key, day, deadline)
        known = stored.record.scores if stored.record else {}
        relevance = {place: known[entry] for place, entry in enumerate(entry_keys) if entry in known}
        missing = {place: candidate.text for place, candidate in enumerate(head) if place not in relevance}
        tally.cache_hits, tally.cache_misses = len(relevance), len(missing)
        trouble: RerankError | None = None
        if missing:
            judgement = self._judgement(missing, intent, flag, deadline, stored.spent_micro_usd)
            trouble, tally.usage = judgement.trouble, judgement.usage
            relevance |= judgement.relevance
            fresh = {entry_keys[place]: score for place, score in judgement.relevance.items()}
            # a tied answer is as good as none, and must not be remembered for a day
            record = self._record(key, stored.record, fresh) if fresh and tells_apart(relevance) else None
            self._write_back(key, record, day, deadline, tally)
        if len(relevance) < MIN_COVERAGE * len(head):
            raise trouble or LowCoverage(f"{len(relevance)} of {len(head)} items judged")
        if not tells_apart(relevance):
            raise AllTied("every item was judged the same")
        return relevance

    def _read(self, key: str, day: str, deadline: Deadline) -> CacheRead:
        # a table that hangs must not cost more than the request has, so its answer is awaited and not called for
        reading = self.executor.submit(self.cache.read, key, day)
        try:
            return reading.result(deadline.remaining_ms() / 1000)
        except TimeoutError as error:
            raise CacheUnavailable("the cache did not answer within the request's budget") from error

    def _judgement(
        self,
        missing: Mapping[int, str],
        intent: str,
        flag: FlagDocument,
        deadline: Deadline,
        spent_micro_usd: int,
    ) -> Judgement:
        if spent_micro_usd >= flag.daily_usd_cap * 1e6:
            return Judgement(trouble=CostCapReached(f"{spent_micro_usd} micro-USD spent today"))
        if not worth_calling(flag, deadline):
            return Judgement(trouble=BudgetExhausted("too little of the request budget is left for a call"))
        if not self.breaker.allows():
            return Judgement(trouble=BreakerOpen("the LLM has been failing in this environment"))
        judgement = self.judge.judge(missing, intent, flag, deadline)
        if judgement.relevance:
            self.breaker.succeeded()
        else:
            self.breaker.failed()
        return judgement

    def _record(self, key: str, before: ScoreRecord | None, fresh: Mapping[bytes, int]) -> ScoreRecord:
        if before is not None:
            # the expiry stays: a record that is added to for ever must still grow old
            return ScoreRecord({**before.scores, **fresh}, before.expires_at, before.revision)
        jitter = 1 + TTL_JITTER * (int(key[:4], 16) / 0x8000 - 1)
        return ScoreRecord(fresh, int(self.clock.now() + self.cache_ttl_s * jitter))

    def _write_back(
        self, key: str, record: ScoreRecord | None, day: str, deadline: Deadline, tally: RerankTally
    ) -> None:
        writes: list[Future[Any]] = []
        if tally.usage.cost_micro_usd:
            writes.append(self.executor.submit(self.cache.add_spend, day, tally.usage.cost_micro_usd))
        if record is not None:
            writes.append(self.executor.submit(self.cache.write, key, record))
        done, _ = wait(writes, timeout=deadline.remaining_ms() / 1000)
        tally.cache_failures += sum(write.exception() is not None for write in done)

    def _day(self) -> str:
        return dt.datetime.fromtimestamp(self.clock.now(), dt.UTC).date().isoformat()


def record_key(intent: str, model_id: str, version: str) -> str:
    """The cache key of everything judged for an intent; another model, wording or schema never meets the same key."""
    return hashlib.sha256("\0".join((intent, model_id, version)).encode()).hexdigest()


def entry_key(text: str) -> bytes:
    """The key of one item's score within a record: a changed text is a new item."""
    return hashlib.sha256(text.encode()).digest()[:ENTRY_KEY_BYTES]


def tells_apart(relevance: Mapping[int, int]) -> bool:
    """Whether the scores carry any order: a model that answers all alike has judged nothing."""
    return len(set(relevance.values())) > 1
