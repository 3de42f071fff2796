"""Judgements that are kept for training."""

import pytest

from flagrank.adapters.in_memory import (
    InlineExecutor,
    InMemoryFactorStore,
    InMemoryFlagSource,
    InMemoryJudgementLog,
    InMemoryJudgementQueue,
    InMemoryMetrics,
    InMemoryScoreCache,
    ManualClock,
    ScriptedJudge,
    ScriptedLLM,
)
from flagrank.bootstrap import Adapters, Models, wire
from flagrank.domain import RecommendRequest
from flagrank.errors import RerankTimeout
from flagrank.flags.document import FlagDocument
from flagrank.ports import KeptJudgements
from flagrank.rerank.keeping import KeepingJudge
from flagrank.rerank.records import entry_key
from flagrank.settings import Settings
from flagrank.timing import Deadline
from tests.factories import make_factors
from tests.wiring import ENVIRONMENT, by_item_number

FLAG = FlagDocument(enabled=True, percent=100)
TEXTS = {0: "a 10", 4: "b 30", 2: "c 20"}


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = InMemoryJudgementLog(self.clock, keep_days=1)
        self.inner = ScriptedJudge(lambda text: int(text.split()[-1]))
        self.judge = KeepingJudge(self.inner, self.log, InlineExecutor())

    def ask(self, texts: dict[int, str] = TEXTS) -> dict[int, int]:
        deadline = Deadline(self.clock, self.clock.monotonic() + 1)
        return dict(self.judge.judge(texts, "some words", FLAG, deadline).relevance)


def test_a_judgement_is_kept_with_its_intent_and_places() -> None:
    """By the order of the baseline, under who judged; the answer is the inner judge's."""
    bench = Bench()
    assert bench.ask() == {0: 10, 4: 30, 2: 20}
    entries = tuple((entry_key(TEXTS[place]), score, place) for place, score in [(0, 10), (2, 20), (4, 30)])
    assert list(bench.log.kept()) == [KeptJudgements("some words", FLAG.model_id, "scripted", entries)]


def test_what_tells_nothing_apart_is_not_kept() -> None:
    """An answer that is all tied, and none at all."""
    bench = Bench()
    bench.ask({0: "a 10", 1: "b 10"})
    bench.inner.trouble = RerankTimeout("too late")
    bench.ask()
    assert list(bench.log.kept()) == []


def test_a_log_that_fails_costs_no_judgement(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the request goes on."""
    bench = Bench()
    bench.log.broken = True
    assert bench.ask() == {0: 10, 4: 30, 2: 20}
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize("query", ["quiet", None])
def test_no_user_is_in_what_is_kept(query: str | None) -> None:
    """An id that would be recognised anywhere is nowhere: intents are words of the query or of items."""
    clock = ManualClock()
    log, factors = InMemoryJudgementLog(clock, keep_days=1), make_factors(items=200)
    adapters = Adapters(
        InMemoryFactorStore(factors),
        InMemoryFlagSource(FLAG),
        InMemoryScoreCache(clock),
        Models(ScriptedLLM(by_item_number)),
        InMemoryJudgementQueue(),
        InMemoryMetrics(),
        InlineExecutor(),
        log,
    )
    service = wire(Settings.from_env(ENVIRONMENT), adapters, clock)
    history = tuple(factors.item_ids[:5].tolist())
    service.recommend(RecommendRequest(987654321, query=query, history=history))
    kept = list(log.kept())
    assert kept
    assert "987654321" not in repr(kept)
