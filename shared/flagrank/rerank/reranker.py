"""The rerank of a list's head: cached scores are free, missing ones are judged, and money and failures have limits.

The flag's `path` says who judges: the request, within its budget, or a worker, to whom the task is handed over.

A cached score is served even while the breaker is open or the day's money is spent. An unreadable cache means no
rerank: the day's spend lies beside the scores, and no judge is asked without a cost limit (infra/decisions/0002). What
a call may cost is reserved before it and settled after it (infra/decisions/0091).

Of many requests that miss the same texts one asks, and the others answer without waiting for it: the texts are claimed
in the cache before the call. A claim lapses soon after the request that holds it, and is released where nothing came.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from flagrank.domain import RerankTally
from flagrank.errors import BreakerOpen, BudgetExhausted, CacheUnavailable, CostCapReached, RerankError
from flagrank.flags.document import FlagDocument
from flagrank.ports import CacheRead, Clock, JudgementTask, ScoreCache, ScoreRecord
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.handoff import Handoff
from flagrank.rerank.judge import Judge, Judgement
from flagrank.rerank.listwise import worth_calling
from flagrank.rerank.pricing import over_cap
from flagrank.rerank.records import (
    added,
    claim_key,
    entries_of,
    entry_key,
    expiry,
    is_ageing,
    known_scores,
    record_key,
    tells_apart,
    utc_day,
)
from flagrank.rerank.spending import Allowance
from flagrank.timing import Deadline

# longer than an identical request may take from its look into the cache to its own claim
CLAIM_BEYOND_S = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """Relevance 0..100 by position in the head, as far as it is known, and why it is not known of the rest.

    `warming` says that somebody judges the rest, and that this request has not waited for it.
    """

    relevance: Mapping[int, int] = field(default_factory=dict)
    trouble: RerankError | None = None
    warming: bool = False


class Reranker(Protocol):
    """Judges the texts of the list's head."""

    def prompt_version(self, flag: FlagDocument) -> str | None:
        """The wording and form under which it asks, None if it never asks."""

    def rerank(
        self, texts: Sequence[str], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Judged:
        """What is known by the deadline; fills `tally`. Whether that is enough, the caller decides (`step.py`)."""


class IdentityReranker:
    """Judges nothing, which leaves the baseline order: for environments without an LLM."""

    def prompt_version(self, flag: FlagDocument) -> str | None:
        """None: it never asks."""
        return None

    def rerank(
        self, texts: Sequence[str], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Judged:
        """No relevance at all."""
        return Judged()


@dataclass(frozen=True, slots=True)
class LLMReranker:
    """The reranker over a judge and a score cache. `executor` runs the cache's calls, and no others, so
    that a judge which hangs never holds them up; the TTL is in seconds.

    `handoff` takes what a worker is to judge. `allowance` is the money that this environment has reserved.
    """

    judge: Judge
    cache: ScoreCache
    breaker: Breaker
    clock: Clock
    executor: Executor
    cache_ttl_s: int
    handoff: Handoff
    allowance: Allowance

    def prompt_version(self, flag: FlagDocument) -> str | None:
        """The judge's version."""
        return self.judge.version(flag)

    def rerank(
        self, texts: Sequence[str], intent: str, flag: FlagDocument, deadline: Deadline, tally: RerankTally
    ) -> Judged:
        """From the cache where the text was judged for this intent; who judges the rest, the flag's `path` says."""
        question = _Question(intent, flag, self.judge.version(flag), dict(enumerate(texts)))
        try:
            stored = self._read(question, deadline)
        except (BudgetExhausted, CacheUnavailable) as error:
            return Judged(trouble=error)
        known = known_scores(stored.record, question.texts)
        missing = {place: text for place, text in question.texts.items() if place not in known}
        tally.cache_hits, tally.cache_misses = len(known), len(missing)
        capped = self._over_cap(flag, stored.spent_micro_usd)
        if flag.path != "inline" and not capped and self._is_ageing(stored.record):
            self.handoff.offer(question.task(question.texts, refresh=True))
        if not missing or capped:
            return Judged(known, capped)
        if flag.path == "async":
            self.handoff.offer(question.task(missing))
            return Judged(known, warming=True)
        judgement = self._judge_now(missing, question, stored.spent_micro_usd, deadline)
        if judgement is None:
            return Judged(known, warming=True)
        if isinstance(judgement.trouble, CostCapReached):
            return Judged(known, judgement.trouble)
        tally.usage = judgement.usage
        relevance = {**known, **judgement.relevance}
        # a tied answer is as good as none, and must not be remembered for a day
        keep = judgement.relevance and tells_apart(relevance.values())
        fresh = entries_of(judgement.relevance, missing) if keep else {}
        self._write_back(question.key, stored.record, fresh, deadline, tally)
        late = {place: text for place, text in missing.items() if place not in judgement.relevance}
        if flag.path == "inline" or not late:
            return Judged(relevance, judgement.trouble)
        self.handoff.offer(question.task(late))
        return Judged(relevance, judgement.trouble, warming=not judgement.usage.llm_calls)

    def _is_ageing(self, record: ScoreRecord | None) -> bool:
        return record is not None and is_ageing(record, self.clock.now(), self.cache_ttl_s)

    def _read(self, question: "_Question", deadline: Deadline) -> CacheRead:
        if deadline.remaining_ms() <= 0:
            raise BudgetExhausted("the request's budget was spent before the rerank")
        # a table that hangs must not cost more than the request has, so its answer is awaited and not called for
        day, entries = utc_day(self.clock.now()), [entry_key(text) for text in question.texts.values()]
        return self._awaited(partial(self.cache.read, question.key, day, entries), deadline)

    def _awaited[T](self, call: Callable[[], T], deadline: Deadline) -> T:
        calling = self.executor.submit(call)
        try:
            return calling.result(deadline.remaining_ms() / 1000)
        except TimeoutError as error:
            calling.cancel()
            raise CacheUnavailable("the cache did not answer within the request's budget") from error

    def _over_cap(self, flag: FlagDocument, spent_micro_usd: int) -> CostCapReached | None:
        # where calls are made here, what is spent holds what is reserved here, and the allowance knows better
        return over_cap(flag.daily_usd_cap, spent_micro_usd) if flag.path == "async" else None

    def _judge_now(
        self, missing: Mapping[int, str], question: "_Question", spent_micro_usd: int, deadline: Deadline
    ) -> Judgement | None:
        if not worth_calling(question.flag, deadline):
            return Judgement(trouble=BudgetExhausted("too little of the request budget is left for a call"))
        if self.breaker.refuses():
            return Judgement(trouble=BreakerOpen("the LLM has been failing in this environment"))
        flag, day = question.flag, utc_day(self.clock.now())
        most = self.judge.most_micro_usd(len(missing), flag)
        reserve = partial(self.allowance.reserve, day, flag.daily_usd_cap, most, spent_micro_usd)
        try:
            reserved = self._awaited(reserve, deadline)
        except (CostCapReached, CacheUnavailable) as error:
            return Judgement(trouble=error)
        judgement: Judgement | None = None
        try:
            if self._claimed(question, missing, deadline):
                judgement = self._asked(missing, question, deadline)
        except CacheUnavailable as error:
            judgement = Judgement(trouble=error)
        self.allowance.settle(reserved, judgement.usage.cost_micro_usd if judgement else 0)
        return judgement

    def _claimed(self, question: "_Question", missing: Mapping[int, str], deadline: Deadline) -> bool:
        key = claim_key(question.key, missing.values())
        seconds = math.ceil(question.flag.request_budget_ms / 1000) + CLAIM_BEYOND_S
        return self._awaited(partial(self.cache.claim, key, seconds), deadline)

    def _asked(self, missing: Mapping[int, str], question: "_Question", deadline: Deadline) -> Judgement:
        if not self.breaker.allows():
            return Judgement(trouble=BreakerOpen("the LLM has been failing in this environment"))
        judgement = self.judge.judge(missing, question.intent, question.flag, deadline)
        self.breaker.record(bool(judgement.relevance))
        if not tells_apart(judgement.relevance.values()):
            # nothing to remember has come, and the next request may ask
            releasing = self.executor.submit(self.cache.release, claim_key(question.key, missing.values()))
            wait([releasing], timeout=deadline.remaining_ms() / 1000)
        return judgement

    def _write_back(
        self, key: str, before: ScoreRecord | None, fresh: Mapping[bytes, int], deadline: Deadline, tally: RerankTally
    ) -> None:
        if not fresh:
            return
        record = added(before, fresh, expiry(key, self.clock.now(), self.cache_ttl_s))
        writing = self.executor.submit(self.cache.write, key, record)
        done, _ = wait([writing], timeout=deadline.remaining_ms() / 1000)
        tally.cache_failures += sum(write.exception() is not None for write in done)


@dataclass(frozen=True, slots=True)
class _Question:
    """What one request asks: texts by their places in the head, under a judge's version."""

    intent: str
    flag: FlagDocument
    version: str
    texts: Mapping[int, str]

    @property
    def key(self) -> str:
        """The key of the intent's record."""
        return record_key(self.intent, self.flag.model_id, self.version)

    def task(self, texts: Mapping[int, str], *, refresh: bool = False) -> JudgementTask:
        """The task to judge some of the texts, the head's first one first."""
        return JudgementTask(self.intent, self.flag.model_id, self.version, tuple(texts.values()), refresh)
