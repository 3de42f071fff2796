"""Own CPU of one request through the handler, step by step, beside a bare handler."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.adapters.in_memory import (
    InMemoryFactorStore,
    InMemoryFlagSource,
    InMemoryJudgementQueue,
    InMemoryScoreCache,
    ScriptedLLM,
)
from flagrank.adapters.system_clock import SystemClock
from flagrank.adapters.tiered_cache import TieredScoreCache
from flagrank.benchmarks.results import OURS, Row, compared
from flagrank.benchmarks.shops import sample
from flagrank.benchmarks.timing import Step, Times, interleaved
from flagrank.bootstrap import Adapters, Models, wire
from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.domain import RecommendRequest
from flagrank.flags.document import FlagDocument
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors
from flagrank.model.features import feature_table
from flagrank.ports import Completion, Prompt
from flagrank.serving import api
from flagrank.serving.plain_event import answered
from flagrank.serving.service import Service
from flagrank.settings import Settings

ROUNDS, WARM_UP, USERS = 500, 50, 100
BARE, CACHED = "bare handler", "cached rerank"
VARIABLES = {
    "FLAGRANK_BUCKET": "factors-bucket",
    "FLAGRANK_TABLE": "scores",
    "FLAGRANK_QUEUE_URL": "https://queue.example/tasks",
    "FLAGRANK_APPCONFIG_APPLICATION": "flagrank",
    "FLAGRANK_APPCONFIG_ENVIRONMENT": "bench",
    "FLAGRANK_APPCONFIG_PROFILE": "rerank",
}


def measure(tiny: bool) -> Iterator[Row]:
    """Control and a cached rerank as a whole, and the parts of control."""
    factors = sample()
    steps = steps_of(factors)
    with quiet():
        times = timed(steps, 5 if tiny else ROUNDS)
    yield from compared(f"{len(factors.item_ids):,} items, top 10", times)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is printed meanwhile is shown: metrics are lines on standard output."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123 - a device
        yield


def timed(steps: dict[str, Step], rounds: int) -> Times:
    """The CPU of each step, with the collector as the function's module leaves it once it has started."""
    gc.collect()
    gc.freeze()
    try:
        return interleaved(steps, rounds, warm_up=min(rounds, WARM_UP), budget_s=60.0)
    finally:
        gc.unfreeze()


def steps_of(factors: Factors) -> dict[str, Step]:
    """A control request under OURS, the bare handler and the cached rerank, then what control consists of."""
    assert factors.stage2 is not None
    stage2, names = factors.stage2, factors.stage2.features
    control, treated = service(factors, 0.0), service(factors, 100.0)
    users = factors.user_ids.tolist()[:USERS]
    people = [resolve_user(factors, user, NO_ROWS) for user in users]
    wanted = [CandidateRequest(person, max(100, stage2.pool)) for person in people]
    found = [generate(factors, each) for each in wanted]
    tables = [feature_table(factors, p.seen, f.rows, f.taste, names) for p, f in zip(people, found, strict=True)]
    answers = [control.recommender.recommend(RecommendRequest(user, 10)) for user in users]
    for user in users:
        treated.recommender.recommend(RecommendRequest(user, 10))

    def by_user(call: Callable[[int], object]) -> Step:
        return lambda number: call(number % len(users))

    steps: dict[str, Callable[[int], object]] = {
        OURS: lambda u: answered(event(users[u]), control),
        BARE: lambda u: bare(event(users[u])),
        CACHED: lambda u: answered(event(users[u]), treated),
        "  pipeline": lambda u: control.recommender.recommend(RecommendRequest(users[u], 10)),
        "    user": lambda u: resolve_user(factors, users[u], NO_ROWS),
        "    candidates": lambda u: generate(factors, wanted[u]),
        "    stage 2, features": lambda u: feature_table(factors, people[u].seen, found[u].rows, found[u].taste, names),
        "    stage 2, models": lambda u: stage2.score(tables[u]),
        "  metrics": lambda u: control.telemetry.record(answers[u]),
        "  document": lambda u: orjson.dumps(api.answer_document(answers[u], explain=False)),
    }
    return {name: by_user(call) for name, call in steps.items()}


def service(factors: Factors, percent: float) -> Service:
    """The service with real metrics, clock and in-process cache, over a set and a flag that treats this many."""
    clock = SystemClock()
    flag = FlagDocument(enabled=True, percent=percent, alpha=0.3, request_budget_ms=5000, call_budget_ms=2000)
    adapters = Adapters(
        InMemoryFactorStore(factors),
        InMemoryFlagSource(flag),
        TieredScoreCache(InMemoryScoreCache(clock), clock),
        Models(ScriptedLLM(_judged)),
        InMemoryJudgementQueue(),
        EmfMetrics(),
    )
    return wire(Settings.from_env(VARIABLES), adapters, clock)


def event(user_id: int) -> dict[str, Any]:
    """An HTTP API event, as `GET /recommend?user_id=...&top_k=10` arrives."""
    http = {"method": "GET", "path": "/recommend", "sourceIp": "127.0.0.1"}
    return {
        "version": "2.0",
        "rawPath": "/recommend",
        "rawQueryString": f"user_id={user_id}&top_k=10",
        "headers": {"host": "api.local"},
        "requestContext": {"http": http, "stage": "$default"},
        "isBase64Encoded": False,
    }


def bare(asked: dict[str, Any]) -> dict[str, Any]:
    """A handler that answers with ten items and does nothing for it."""
    user_id = asked["rawQueryString"].partition("&")[0]
    body = orjson.dumps({"user_id": user_id, "top_items": list(range(10))}).decode()
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body}


def _judged(prompt: Prompt) -> Completion:
    return Completion(orjson.dumps({"scores": list(range(prompt.size))}).decode(), "end_turn", 100, 50)
