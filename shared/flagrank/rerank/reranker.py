"""The rerank of a list's head: cached scores are free, missing ones are judged, and money and failures have limits.

A cached score is served even while the breaker is open or the day's money is spent. An unreadable cache means no
rerank: the day's spend lies beside the scores, and no judge is asked without a cost limit (infra/decisions/0002).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

from flagrank.domain import Candidate, RerankTally
from flagrank.errors import BreakerOpen, BudgetExhausted, CacheUnavailable, CostCapReached, RerankError
from flagrank.flags.document import FlagDocument
from flagrank.ports import CacheRead, Clock, ScoreCache, ScoreRecord
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.judge import Judge, Judgement
from flagrank.rerank.listwise import worth_calling
from flagrank.rerank.records import added, entries_of, expiry, known_scores, record_key, tells_apart, utc_day
from flagrank.timing import Deadline


@dataclass(frozen=True, slots=True)
class Judged:
    """Relevance 0..100 by position in the head, as far as it is known, and why it is not known of the rest.

    `warming` says that somebody judges the rest, and that this request has not waited for it.
    """

    relevance: Mapping[int, int] = field(default_factory=dict)
    trouble: RerankError | None = None
    warming: bool = False


class Reranker(Protocol):
    """Judges the head of the list."""

    def prompt_version(self, flag: FlagDocument) -> str | None:
        """The wording and form under which it asks, None if it never asks."""

    def rerank(
        self, head: Sequence[Candidate], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Judged:
        """What is known by the deadline; fills `tally`. Whether that is enough, the caller decides (`step.py`)."""


class IdentityReranker:
    """Judges nothing, which leaves the baseline order: for environments without an LLM."""

    def prompt_version(self, flag: FlagDocument) -> str | None:
        """None: it never asks."""
        return None

    def rerank(
        self, head: Sequence[Candidate], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Judged:
        """No relevance at all."""
        return Judged()


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
    ) -> Judged:
        """From the cache where the text was judged for this intent, from the judge where not."""
        texts = {place: candidate.text for place, candidate in enumerate(head)}
        key, day = record_key(intent, flag.model_id, self.judge.version(flag)), utc_day(self.clock.now())
        try:
            stored = self._read(key, day, deadline)
        except CacheUnavailable as error:
            return Judged(trouble=error)
        known = known_scores(stored.record, texts)
        missing = {place: text for place, text in texts.items() if place not in known}
        tally.cache_hits, tally.cache_misses = len(known), len(missing)
        if not missing:
            return Judged(known)
        judgement = self._judgement(missing, intent, flag, deadline, stored.spent_micro_usd)
        tally.usage = judgement.usage
        relevance = {**known, **judgement.relevance}
        # a tied answer is as good as none, and must not be remembered for a day
        keep = judgement.relevance and tells_apart(relevance.values())
        record = self._added(key, stored.record, entries_of(judgement.relevance, texts)) if keep else None
        self._write_back(key, record, day, deadline, tally)
        return Judged(relevance, judgement.trouble)

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
        self.breaker.record(bool(judgement.relevance))
        return judgement

    def _added(self, key: str, before: ScoreRecord | None, fresh: Mapping[bytes, int]) -> ScoreRecord:
        return added(before, fresh, expiry(key, self.clock.now(), self.cache_ttl_s))

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
