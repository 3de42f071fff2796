"""Adapters without a network, for tests and experiments: held to the same contract suites as the real ones."""

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from flagrank.domain import Usage
from flagrank.errors import CacheUnavailable, FactorsUnavailable, QueueUnavailable, RerankError
from flagrank.flags.document import FlagDocument
from flagrank.model.arrays import Floats
from flagrank.model.factors import Factors
from flagrank.ports import (
    CacheRead,
    Clock,
    Completion,
    FlagState,
    JudgementTask,
    KeptJudgements,
    Metadata,
    Prompt,
    ReloadCounts,
    Scored,
    ScoreRecord,
)
from flagrank.rerank.judge import Judgement
from flagrank.rerank.messages import read_task, write_task
from flagrank.timing import Deadline


class ManualClock:
    """Time that moves only when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return self._monotonic

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves both scales on."""
        self._now += seconds
        self._monotonic += seconds


class InMemoryFactorStore:
    """Factors that are handed over rather than loaded."""

    def __init__(self, factors: Factors | None = None) -> None:
        self._factors = factors
        self._reloads = ReloadCounts()

    def publish(self, factors: Factors) -> None:
        """Puts a set into force."""
        if self._factors is not None:
            self._reloads = ReloadCounts(self._reloads.loaded + 1)
        self._factors = factors

    def current(self) -> Factors:
        """The set in force; raises FactorsUnavailable before the first."""
        if self._factors is None:
            raise FactorsUnavailable("nothing was published")
        return self._factors

    def drain_reloads(self) -> ReloadCounts:
        """How many sets replaced another since this was last asked; nothing is loaded here, so no load fails."""
        reloads, self._reloads = self._reloads, ReloadCounts()
        return reloads


class InMemoryFlagSource:
    """A flag that is set rather than polled."""

    def __init__(self, document: FlagDocument | None = None, version: str = "1") -> None:
        self.document = document
        self.version = version
        self.stale = False

    def current(self, max_wait_ms: float) -> FlagState:
        """The flag as set; never waits."""
        version = self.version if self.document is not None else None
        return FlagState(self.document, version, stale=self.stale)

    def drain_rejected(self) -> int:
        """None: a document that is set here is valid already."""
        return 0


class InMemoryScoreCache:
    """A dictionary with the cache's expiry, revisions, spend and claims; `broken` makes every call fail."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[str, ScoreRecord] = {}
        self._spend: dict[str, int] = {}
        self._claims: dict[str, float] = {}
        self._receipts: set[str] = set()
        self.broken = False

    def read(self, key: str, day: str, entries: Collection[bytes] = ()) -> CacheRead:
        """The live record and the day's spend."""
        with self._lock:
            self._check()
            record = self._records.get(key)
            live = record if record is not None and record.expires_at > self._clock.now() else None
            return CacheRead(live, self._spend.get(day, 0))

    def write(self, key: str, record: ScoreRecord) -> bool:
        """Stores the record as the next revision, unless another writer was first."""
        with self._lock:
            self._check()
            stored = self._records.get(key)
            # as in the table, an expired record counts as none for a first write, and keeps its revision for others
            expired = stored is None or stored.expires_at <= self._clock.now()
            free = expired if record.revision == 0 else stored is not None and stored.revision == record.revision
            if not free:
                return False
            self._records[key] = ScoreRecord(dict(record.scores), record.expires_at, record.revision + 1)
            return True

    def reserve_spend(self, day: str, micro_usd: int, below_micro_usd: int) -> bool:
        """Adds to the day's spend, unless it has come to `below_micro_usd`."""
        with self._lock:
            self._check()
            if self._spend.get(day, 0) >= below_micro_usd:
                return False
            self._spend[day] = self._spend.get(day, 0) + micro_usd
            return True

    def claim(self, key: str, seconds: int) -> bool:
        """Claims the key, unless another's claim lasts."""
        with self._lock:
            self._check()
            if self._claims.get(key, 0) > self._clock.now():
                return False
            self._claims[key] = self._clock.now() + seconds
            return True

    def release(self, key: str) -> None:
        """Ends the claim on the key."""
        with self._lock:
            self._check()
            self._claims.pop(key, None)

    def add_spend_once(self, day: str, micro_usd: int, receipt: str) -> bool:
        """Adds to the day's spend unless this receipt is known."""
        with self._lock:
            self._check()
            if receipt in self._receipts:
                return False
            self._receipts.add(receipt)
            self._spend[day] = self._spend.get(day, 0) + micro_usd
            return True

    def _check(self) -> None:
        if self.broken:
            raise CacheUnavailable("told to be broken")


class InMemoryJudgementQueue:
    """Keeps what was sent, in order; `broken` makes it refuse."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.broken = False

    @property
    def tasks(self) -> list[JudgementTask]:
        """The tasks that were sent."""
        return [read_task(body) for body in self.bodies]

    def send(self, task: JudgementTask) -> None:
        """Keeps the task's message."""
        if self.broken:
            raise QueueUnavailable("told to be broken")
        self.bodies.append(write_task(task))


class InMemoryJudgementLog:
    """Kept judgements in a dictionary; `broken` makes every call fail."""

    def __init__(self, clock: Clock, keep_days: int) -> None:
        self._clock = clock
        self._keep_s = keep_days * 86_400
        self._kept: dict[KeptJudgements, float] = {}
        self.broken = False

    def keep(self, judgements: KeptJudgements) -> None:
        """Keeps them from now on for as long as was said."""
        self._check()
        self._kept[judgements] = self._clock.now() + self._keep_s

    def kept(self) -> Iterator[KeptJudgements]:
        """What is still kept."""
        self._check()
        yield from [judgements for judgements, until_s in self._kept.items() if until_s > self._clock.now()]

    def _check(self) -> None:
        if self.broken:
            raise CacheUnavailable("told to be broken")


class ScriptedLLM:
    """An LLM whose answer is a function of the prompt; the function may raise a RerankError."""

    def __init__(self, answer: Callable[[Prompt], Completion]) -> None:
        self._answer = answer
        self.prompts: list[Prompt] = []

    def complete(self, prompt: Prompt, *, model_id: str, max_output_tokens: int, timeout_ms: int) -> Completion:
        """The scripted answer."""
        self.prompts.append(prompt)
        return self._answer(prompt)


class ScriptedRerank:
    """A rerank model whose score is a function of query and text; the function may raise a RerankError."""

    def __init__(self, score: Callable[[str, str], float]) -> None:
        self._score = score

    def rerank(self, query: str, texts: Sequence[str], *, model_id: str, timeout_ms: int) -> Scored:
        """The scripted scores, the best first, as services give them."""
        scored = [(index, self._score(query, text)) for index, text in enumerate(texts)]
        return sorted(scored, key=lambda pair: -pair[1])


class ScriptedJudge:
    """A judge whose relevance is a function of the text; with `trouble` set it judges nothing and says why."""

    def __init__(self, relevance: Callable[[str], int]) -> None:
        self._relevance = relevance
        self.trouble: RerankError | None = None

    def version(self, flag: FlagDocument) -> str:
        """One version for every flag."""
        return "scripted"

    def most_micro_usd(self, size: int, flag: FlagDocument) -> int:
        """Nothing: a script is free."""
        return 0

    def judge(self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline) -> Judgement:
        """The scripted relevance of each text, for one call."""
        usage = Usage(llm_calls=1)
        if self.trouble is not None:
            return Judgement({}, usage, self.trouble)
        return Judgement({place: self._relevance(text) for place, text in texts.items()}, usage)


class HashedWordsEmbedder:
    """Embeddings without a model: texts are near when they share words. Integer hashes, so the same everywhere."""

    def __init__(self, dimensions: int = 64) -> None:
        self.name = f"hashed-words/{dimensions}"
        self._dimensions = dimensions

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit rows (n, dimensions) float32 of word counts; zeros for a text without words."""
        rows = np.zeros((len(texts), self._dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) % self._dimensions] += 1
        unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
        return unit


class InMemoryMetrics:
    """Keeps what was emitted, as (arm, values, metadata)."""

    def __init__(self) -> None:
        self.records: list[tuple[str | None, dict[str, float], dict[str, Any]]] = []

    def emit(self, arm: str | None, values: Mapping[str, float], metadata: Metadata) -> None:
        """Keeps one record."""
        self.records.append((arm, dict(values), dict(metadata)))


class InlineExecutor(Executor):
    """Runs what is submitted at once, in the caller's thread: concurrency without chance."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future that is done already."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
