"""Judging ahead of the requests: by the queue's worker, and before the first request by whoever knows the intents.

Nobody waits, so a call may take its time and a throttled one is repeated. Money has the same limits as in a request.
What may happen at any moment is that the process ends, or that another one judges the same intent: what calls may cost
is reserved before them, and scores are merged into whatever the record holds by then (infra/decisions/0071).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from flagrank.domain import Usage
from flagrank.errors import (
    AllTied,
    BreakerOpen,
    BudgetExhausted,
    CacheUnavailable,
    CostCapReached,
    LLMThrottled,
    LLMUnavailable,
    RerankError,
)
from flagrank.flags.document import FlagDocument
from flagrank.ports import Clock, JudgementTask, ScoreCache, ScoreRecord
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.judge import Judge, Judgement
from flagrank.rerank.listwise import worth_calling
from flagrank.rerank.records import (
    added,
    entries_of,
    entry_key,
    expiry,
    is_ageing,
    record_key,
    tells_apart,
    utc_day,
)
from flagrank.rerank.spending import Allowance
from flagrank.timing import Deadline

CALL_BUDGET_MS = 30_000
# what is left of a deadline once the last call must have answered: enough to write, and to write again
WRITING_S = 3.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 20.0
WRITES = 8
WRITE_PAUSE_S = 0.05
# trouble that passes, so that the same question is worth asking again a little later
PASSING = (LLMThrottled, LLMUnavailable, BreakerOpen)


@dataclass(frozen=True, slots=True)
class WarmResult:
    """What became of one task, in numbers of texts, and what it used.

    `written` were judged and are in the record now, `known` were there before, `missing` are not there. `unwritten`
    were judged, and the cache did not take them. `trouble` is why something is missing.
    """

    written: int = 0
    known: int = 0
    missing: int = 0
    unwritten: int = 0
    usage: Usage = field(default_factory=Usage)
    trouble: RerankError | None = None


@dataclass(frozen=True, slots=True)
class Warmer:
    """Judges tasks into the score cache. `pause` waits so many seconds; the TTL is in seconds.

    `allowance` is the money that this process has reserved.
    """

    judge: Judge
    cache: ScoreCache
    breaker: Breaker
    clock: Clock
    pause: Callable[[float], None]
    cache_ttl_s: int
    allowance: Allowance

    def is_current(self, task: JudgementTask, flag: FlagDocument) -> bool:
        """Whether requests under this flag would find the scores."""
        return (task.model_id, task.version) == (flag.model_id, self.judge.version(flag))

    def warm(self, task: JudgementTask, flag: FlagDocument, deadline: Deadline) -> WarmResult:
        """Judges what the task's record still misses, and writes it. Trouble is a part of the result, never raised.

        Raises ValueError for a task that is not current: its scores would be another model's.
        """
        if not self.is_current(task, flag):
            raise ValueError(f"a task for {task.model_id} under {task.version}, which is not what the flag asks for")
        patient = flag.model_copy(update={"call_budget_ms": CALL_BUDGET_MS, "request_budget_ms": CALL_BUDGET_MS + 1})
        return _Warming(self, task, patient, deadline).run()


@dataclass(slots=True)
class _Warming:
    """One task under way. All scores and sets are by entry key."""

    warmer: Warmer
    task: JudgementTask
    flag: FlagDocument
    deadline: Deadline
    key: str = field(init=False)
    texts: dict[bytes, str] = field(init=False)
    usage: Usage = field(default_factory=Usage)
    known: int | None = None
    judged: dict[bytes, int] = field(default_factory=dict)
    held: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.key = record_key(self.task.intent, self.task.model_id, self.task.version)
        self.texts = {entry_key(text): text for text in self.task.texts}

    def run(self) -> WarmResult:
        """Asks until nothing is missing, or until asking again is of no use."""
        try:
            trouble = self._ask_until_done()
        except CacheUnavailable as error:
            trouble = error
        return WarmResult(
            written=len(self.held & self.judged.keys()),
            known=self.known or 0,
            missing=len(self.texts.keys() - self.held),
            unwritten=len(self.judged.keys() - self.held),
            usage=self.usage,
            trouble=trouble,
        )

    def _ask_until_done(self) -> RerankError | None:
        pauses = _pauses(self.key)
        while True:
            trouble, pause_s = self._ask_once(), next(pauses)
            if not self.texts.keys() - self.held:
                return None
            if not isinstance(trouble, PASSING) or self.deadline.remaining_ms() / 1000 < pause_s + WRITING_S:
                return trouble
            self.warmer.pause(pause_s)

    def _ask_once(self) -> RerankError | None:
        warmer, day = self.warmer, utc_day(self.warmer.clock.now())
        stored = warmer.cache.read(self.key, day)
        self.held = set(self.texts.keys() & (self.judged if self._renews(stored.record) else _scores(stored.record)))
        if self.known is None:
            self.known = len(self.held)
        missing = dict(enumerate(text for entry, text in self.texts.items() if entry not in self.held))
        until = Deadline(warmer.clock, self.deadline.at_s - WRITING_S)
        if not missing:
            return None
        judgement = self._judged(missing, stored.spent_micro_usd, day, until)
        self.usage.add(judgement.usage)
        fresh = entries_of(judgement.relevance, missing)
        self.judged.update(fresh)
        return self._write(fresh, stored.record, day) or judgement.trouble

    def _judged(self, missing: Mapping[int, str], spent_micro_usd: int, day: str, until: Deadline) -> Judgement:
        warmer, flag = self.warmer, self.flag
        if not worth_calling(flag, until):
            return Judgement(trouble=BudgetExhausted("too little time is left for a call"))
        most = warmer.judge.most_micro_usd(len(missing), flag)
        try:
            reserved = warmer.allowance.reserve(day, flag.daily_usd_cap, most, spent_micro_usd)
        except CostCapReached as error:
            return Judgement(trouble=error)
        judgement = Judgement(trouble=BreakerOpen("the LLM has been failing in this environment"))
        if warmer.breaker.allows():
            judgement = warmer.judge.judge(missing, self.task.intent, flag, until)
            warmer.breaker.record(bool(judgement.relevance))
        warmer.allowance.settle(reserved, judgement.usage.cost_micro_usd)
        return judgement

    def _write(self, fresh: Mapping[bytes, int], record: ScoreRecord | None, day: str) -> RerankError | None:
        if not fresh:
            return None
        cache = self.warmer.cache
        for _ in range(WRITES):
            merged = self._merged(fresh, record)
            if not tells_apart(merged.scores.values()):
                return AllTied("every item was judged the same")
            if self._persist(lambda merged=merged: cache.write(self.key, merged)):  # type: ignore[misc]
                self.held |= fresh.keys()
                return None
            # another writer was first: its scores and these belong together
            record = self._persist(lambda: cache.read(self.key, day)).record
        return CacheUnavailable(f"other writers were first {WRITES} times")

    def _merged(self, fresh: Mapping[bytes, int], record: ScoreRecord | None) -> ScoreRecord:
        now_s = self.warmer.clock.now()
        lapses_at = expiry(self.key, now_s, self.warmer.cache_ttl_s)
        if record is not None and record.expires_at <= now_s + WRITING_S:
            # it lapses while it is written: fresh scores must not lapse with it
            return ScoreRecord(dict(self.judged), lapses_at, record.revision)
        if record is not None and self._renews(record) and self.texts.keys() <= self.judged.keys():
            # what was not judged anew is older than a record may become
            return ScoreRecord(dict(self.judged), lapses_at, record.revision)
        return added(record, fresh, lapses_at)

    def _renews(self, record: ScoreRecord | None) -> bool:
        now_s = self.warmer.clock.now()
        return self.task.refresh and record is not None and is_ageing(record, now_s, self.warmer.cache_ttl_s)

    def _persist[T](self, call: Callable[[], T]) -> T:
        # what was paid for is worth more than one attempt
        for _ in range(WRITES - 1):
            with suppress(CacheUnavailable):
                return call()
            self.warmer.pause(WRITE_PAUSE_S)
        return call()


def _scores(record: ScoreRecord | None) -> Mapping[bytes, int]:
    return record.scores if record else {}


def _pauses(key: str) -> Iterator[float]:
    # spread by key, so that tasks that were throttled together do not come back together
    spread = 0.5 + int(key[:4], 16) / 0x10000
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s * spread
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
