"""Batches from their beginning to their scores. Every step may be repeated by another process."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from flagrank.errors import CloudError, CostCapReached
from flagrank.flags.document import FlagDocument
from flagrank.rerank.batch_inference import BatchInference, JobState, JobStatus
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.pricing import BATCH_PRICE, Price
from flagrank.rerank.records import utc_day
from flagrank.rerank.warming import Warmer
from flagrank.timing import Deadline
from flagrank.warming.batch import BatchPlan, plan_batch, read_plan
from flagrank.warming.ingest import BatchAnswers, BatchJudge, read_answers
from flagrank.warming.run import WarmReport, warm_all
from flagrank.warming.wanted import Tell
from flagrank.warming.warmup import Left

WRITE_S = 60.0
WRITES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a batch's answers were, what became of them in the cache, and whether this was the time that was billed."""

    name: str
    answers: BatchAnswers
    report: WarmReport
    billed: bool

    @property
    def is_complete(self) -> bool:
        """Whether every call was answered and every score is in the cache."""
        return self.answers.answered == self.answers.records and not self.report.missing

    def document(self) -> dict[str, Any]:
        """For programs, and as the report that closes the batch."""
        answers, usage = self.answers, self.answers.usage
        return {
            "batch": self.name,
            "records": answers.records,
            "answered": answers.answered,
            "errors": dict(answers.errors),
            "malformed": dict(answers.malformed),
            "unanswered": answers.unanswered,
            "unknown": answers.unknown,
            "texts_written": self.report.written,
            "texts_known": self.report.known,
            "texts_missing": self.report.missing,
            "troubles": dict(self.report.troubles),
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "usd": usage.cost_micro_usd / 1e6,
            "billed_now": self.billed,
        }


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of one stack. The warmer's cache is where scores and spend go."""

    service: BatchInference
    warmer: Warmer
    document: FlagDocument
    prices: Mapping[str, Price]
    batch_items: int

    def begin(self, left: Left) -> str:
        """Writes a batch for what is left and starts its job; its name.

        Raises ConfigurationError for a size that the service does not take, and CostCapReached where the batch, with
        those that are open, would cost more than the day's cap leaves.
        """
        micro_usd = round(BATCH_PRICE * left.estimate.cost_micro_usd)
        plan, records = plan_batch(left.pieces, self.document, self.batch_items, micro_usd, self.warmer.clock.now())
        committed = left.spent_micro_usd + sum(self.plan(name).micro_usd for name in self.service.open_batches())
        if committed + micro_usd > self.document.daily_usd_cap * 1e6:
            raise CostCapReached(
                f"the batch may cost ${micro_usd / 1e6:.2f}, and of the daily cap of ${self.document.daily_usd_cap:g} "
                f"${committed / 1e6:.2f} are spent: warm less, or raise daily_usd_cap"
            )
        self.service.prepare(plan.name, plan.model_dump_json().encode(), records, plan.model_id)
        self.job(plan.name)
        return plan.name

    def plan(self, name: str) -> BatchPlan:
        """A batch's plan; raises CloudError."""
        return read_plan(self.service.plan(name), name)

    def job(self, name: str) -> str:
        """A batch's job, started if it is not; raises CloudError if the service takes none."""
        try:
            return self.service.start(name, self.plan(name).model_id)
        except CloudError as error:
            raise CloudError(f"{error}; {name} stays open: delete its plan.json in the bucket to give it up") from error

    def status(self, name: str) -> JobStatus:
        """Where a batch's job is. A job that failed closes the batch; raises CloudError in the service's words."""
        status = self.service.status(self.job(name))
        if status.state is JobState.FAILED:
            self.service.close(name, status.detail.encode())
            raise CloudError(f"the batch {name} failed: {status.detail}")
        return status

    def ingest(self, name: str, tell: Tell) -> Ingested:
        """Writes the answers of a job that is over into the cache, counts its bill once, and closes the batch."""
        plan, job = self.plan(name), self.job(name)
        answers = read_answers(plan, self.service.answers(name, job), self.prices)
        now_s, cost = self.warmer.clock.now(), answers.usage.cost_micro_usd
        # before the scores: a cap may count too much, never too little
        billed = self.warmer.cache.add_spend_once(utc_day(now_s), cost, receipt=job)
        ingested = Ingested(name, answers, self._write(plan, answers, tell), billed)
        if ingested.report.stopped_by is None:
            self.service.close(name, orjson.dumps(ingested.document()))
        return ingested

    def _write(self, plan: BatchPlan, answers: BatchAnswers, tell: Tell) -> WarmReport:
        judge, clock = BatchJudge(plan, answers), self.warmer.clock
        flag = judge.flag(self.document)
        warmer = replace(self.warmer, judge=judge, breaker=Breaker(clock))
        return warm_all(
            judge.tasks(),
            lambda task: warmer.warm(task, flag, Deadline(clock, clock.monotonic() + WRITE_S)),
            WRITES_AT_ONCE,
            tell,
        )
