"""Batches from their beginning to their scores, over a service that is told what to say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson
import pytest

from flagrank.adapters.in_memory import InMemoryScoreCache, ManualClock, ScriptedJudge
from flagrank.errors import CloudError, CostCapReached
from flagrank.flags.document import FlagDocument
from flagrank.rerank.batch_inference import BatchAnswer, BatchRecord, JobState, JobStatus
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.pricing import Price
from flagrank.rerank.records import utc_day
from flagrank.rerank.spending import Allowance
from flagrank.rerank.warming import Warmer
from flagrank.warming.batches import Batches
from flagrank.warming.heads import Head
from flagrank.warming.missing import Estimate
from flagrank.warming.warmup import Left
from tests.unit.warming.test_batch import judged
from tests.unit.warming.test_wanted import silent

FLAG = FlagDocument(enabled=True, percent=100, daily_usd_cap=1.0)
PRICES = {"*": Price(input_usd=1.0, output_usd=4.0)}


@dataclass
class Service:
    """A BatchInference that answers each record by the numbers in its texts."""

    state: JobState = JobState.ENDED
    refuses: bool = False
    plans: dict[str, bytes] = field(default_factory=dict)
    records: dict[str, list[BatchRecord]] = field(default_factory=dict)
    reports: dict[str, bytes] = field(default_factory=dict)

    def prepare(self, name: str, plan: bytes, records: Iterable[BatchRecord], model_id: str) -> None:
        self.plans[name], self.records[name] = plan, list(records)

    def open_batches(self) -> list[str]:
        return sorted(self.plans.keys() - self.reports.keys())

    def name_of(self, job: str) -> str:
        return job.removeprefix("job of ")

    def plan(self, name: str) -> bytes:
        return self.plans[name]

    def start(self, name: str, model_id: str) -> str:
        if self.refuses:
            raise CloudError("AWS: the model takes no batches")
        return f"job of {name}"

    def status(self, job: str) -> JobStatus:
        return JobStatus(self.state, "Failed: no access to the bucket")

    def answers(self, name: str, job: str) -> Iterator[BatchAnswer]:
        return (BatchAnswer(record.record_id, judged(record)) for record in self.records[name])

    def close(self, name: str, report: bytes) -> None:
        self.reports[name] = report


class World:
    """Batches over memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.cache = InMemoryScoreCache(self.clock)
        self.service = Service()
        breaker = Breaker(self.clock)
        warmer = Warmer(
            ScriptedJudge(len), self.cache, breaker, self.clock, self.clock.advance, 3600, Allowance(self.cache)
        )
        self.batches = Batches(self.service, warmer, FLAG, PRICES, 10)

    def begin(self, usd: float = 0.5, spent_usd: float = 0.0) -> str:
        """Begins a batch of a hundred calls that would cost so much at once; its name."""
        self.clock.advance(1)
        heads = [Head(f"intent {number}", tuple(f"thing {item}" for item in range(10))) for number in range(100)]
        left = Left(heads, Estimate(calls=100, cost_micro_usd=round(usd * 1e6)), round(spent_usd * 1e6))
        return self.batches.begin(left)

    def spent(self) -> int:
        """The day's spend in micro-USD."""
        return self.cache.read("", utc_day(self.clock.now())).spent_micro_usd


def test_a_batch_counts_half_against_the_cap_until_it_is_closed() -> None:
    """What others may still cost is as good as spent."""
    world = World()
    first = world.begin(usd=1.0)
    assert world.batches.plan(first).micro_usd == 500_000
    world.begin(usd=0.4, spent_usd=0.2)
    with pytest.raises(CostCapReached, match=r"may cost \$0.30, and of the daily cap of \$1 \$0.80 are spent"):
        world.begin(usd=0.6, spent_usd=0.1)
    assert len(world.service.plans) == 2


def test_a_batch_is_read_closed_and_billed() -> None:
    """Its report is for whoever looks into the folder."""
    world = World()
    name = world.begin()
    ingested = world.batches.ingest(name, silent)
    assert (ingested.is_complete, ingested.billed, ingested.report.written) == (True, True, 1000)
    assert world.spent() == ingested.answers.usage.cost_micro_usd > 0
    assert orjson.loads(world.service.reports[name])["answered"] == 100
    again = world.batches.ingest(name, silent)
    assert (again.billed, again.report.written, again.report.known) == (False, 0, 1000)
    assert world.spent() == ingested.answers.usage.cost_micro_usd


def test_a_batch_whose_scores_cannot_be_written_stays_open() -> None:
    """Somebody comes back for it."""
    world = World()
    name = world.begin()
    world.cache.add_spend_once(utc_day(world.clock.now()), 5, receipt=f"job of {name}")
    world.cache.write = lambda key, record: False  # type: ignore[method-assign]
    ingested = world.batches.ingest(name, silent)
    assert (ingested.is_complete, ingested.billed) == (False, False)
    assert world.service.open_batches() == [name]


def test_a_job_that_failed_closes_its_batch() -> None:
    """In the service's words; the next command begins another one."""
    world = World()
    name = world.begin()
    world.service.state = JobState.FAILED
    with pytest.raises(CloudError, match="failed: Failed: no access to the bucket"):
        world.batches.status(name)
    assert world.service.open_batches() == []


def test_a_job_that_is_refused_says_how_to_give_it_up() -> None:
    """The batch is written, and whoever mends the cause goes on with it."""
    world = World()
    world.service.refuses = True
    with pytest.raises(CloudError, match=r"takes no batches; warm-.* stays open: delete its plan\.json"):
        world.begin()
    assert len(world.service.open_batches()) == 1
