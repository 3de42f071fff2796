"""One warm-up: from who may ask to what is left to judge, and from there to scores in the cache."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from flagrank.domain import UserId
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors
from flagrank.ports import CacheRead, JudgementTask
from flagrank.rerank.pricing import Price
from flagrank.rerank.records import record_key, utc_day
from flagrank.rerank.warming import Warmer, WarmResult
from flagrank.serving.resolve_rules import RulesBySet
from flagrank.timing import Deadline
from flagrank.warming.heads import Head, HeadReader
from flagrank.warming.missing import Estimate, estimate, in_requests, missing
from flagrank.warming.run import WarmReport, warm_all
from flagrank.warming.wanted import (
    Tell,
    Wanted,
    cold_user,
    coverage,
    drawn_users,
    everyone_treated,
    want_queries,
    want_users,
)

# a head's calls, half a minute each, with room for their turn
TASK_S = 300.0
READS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to judge, in pieces as long as a request's head, with the most that it takes and the day's spend."""

    pieces: list[Head]
    estimate: Estimate
    spent_micro_usd: int


@dataclass(frozen=True, slots=True)
class Warmup:
    """A warm-up over one published set, under one flag document and the stack's settings."""

    factors: Factors
    document: FlagDocument
    rules: RulesBySet
    warmer: Warmer
    prices: Mapping[str, Price]
    batch_items: int
    parallel_calls: int

    def want_users(self, wanted: Wanted, user_ids: Sequence[UserId], tell: Tell) -> None:
        """Adds what these users will have judged without a query; raises InvalidRequest."""
        want_users(wanted, self._reader(self.document), user_ids, tell)

    def want_queries(self, wanted: Wanted, queries: Sequence[str], drawn: int, tell: Tell) -> float | None:
        """Adds what a cold user and so many treated ones will have judged for each query.

        Gives the mean share of other users' heads that this covers; None where there is nobody else.
        """
        reader = self._reader(everyone_treated(self.document))
        askers, others = drawn_users(self.factors, self.document, drawn)
        want_queries(wanted, reader, queries, [cold_user(self.factors), *askers], tell)
        return coverage(wanted, reader, queries, others)

    def left(self, wanted: Wanted, tell: Tell) -> Left:
        """What of it nobody has judged yet; raises CacheUnavailable."""
        with ThreadPoolExecutor(READS_AT_ONCE, "read") as threads:
            heads, spent_micro_usd = missing(wanted.heads, self._read, threads, tell)
        pieces = in_requests(heads, self.document)
        return Left(pieces, estimate(pieces, self.document, self.prices, self.batch_items), spent_micro_usd)

    def judge(self, left: Left, tell: Tell) -> WarmReport:
        """Judges what is left, with as many tasks at once as keep the calls busy: what they hold is lost by a kill."""
        version = self.warmer.judge.version(self.document)
        tasks = [JudgementTask(piece.intent, self.document.model_id, version, piece.texts) for piece in left.pieces]
        at_once = 1 + math.ceil(self.parallel_calls * len(tasks) / max(1, left.estimate.calls))
        try:
            return warm_all(tasks, self._warm, at_once, tell)
        finally:
            self.warmer.allowance.give_back()

    def _warm(self, task: JudgementTask) -> WarmResult:
        clock = self.warmer.clock
        return self.warmer.warm(task, self.document, Deadline(clock, clock.monotonic() + TASK_S))

    def _read(self, intent: str) -> CacheRead:
        key = record_key(intent, self.document.model_id, self.warmer.judge.version(self.document))
        return self.warmer.cache.read(key, utc_day(self.warmer.clock.now()))

    def _reader(self, document: FlagDocument) -> HeadReader:
        return HeadReader(self.factors, document, self.rules, self.warmer.clock)
