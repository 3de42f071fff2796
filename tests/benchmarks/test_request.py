"""Own CPU of one request through the handler, step by step, as ratios to a bare handler in the same run.

`OPENBLAS_NUM_THREADS=1 uv run pytest tests/benchmarks/test_request.py -n 0 -s`
"""

import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

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
from flagrank.bootstrap import Adapters, Models, wire
from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.domain import Recommendation, RecommendRequest
from flagrank.flags.document import FlagDocument
from flagrank.model.arrays import NO_ROWS
from flagrank.model.artifacts import MANIFEST, decode, parse_manifest
from flagrank.model.factors import Factors
from flagrank.model.features import feature_table
from flagrank.serving import api
from flagrank.serving.plain_event import answered
from flagrank.serving.service import Service
from flagrank.settings import Settings
from tests.wiring import ENVIRONMENT, completion_of, items_of

SAMPLE = Path(__file__).parents[2] / "artifacts/sample"
ROUNDS = 600
WARM_UP = 50


def sample() -> Factors:
    """The published synthetic set: 2,520 items with a Stage 2."""
    factors = decode(parse_manifest((SAMPLE / MANIFEST).read_bytes()), lambda name: (SAMPLE / name).read_bytes())
    factors.warm()
    return factors


def service(factors: Factors, percent: float) -> Service:
    """The service with real metrics, clock and in-process cache, over a set and a flag that treats this many."""
    clock = SystemClock()
    flag = FlagDocument(enabled=True, percent=percent, alpha=0.3, request_budget_ms=5000, call_budget_ms=2000)
    cache = TieredScoreCache(InMemoryScoreCache(clock), clock)
    settings = Settings.from_env(ENVIRONMENT)
    adapters = Adapters(
        InMemoryFactorStore(factors),
        InMemoryFlagSource(flag),
        cache,
        Models(ScriptedLLM(lambda prompt: completion_of([*range(len(items_of(prompt)))]))),
        InMemoryJudgementQueue(),
        EmfMetrics(),
    )
    return wire(settings, adapters, clock)


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


def cpu_ms(steps: dict[str, Callable[[int], object]]) -> dict[str, float]:
    """Each step's median CPU of the process by user number, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(WARM_UP + ROUNDS):
        for name, step in steps.items():
            started = time.process_time_ns()
            step(number)
            times[name].append((time.process_time_ns() - started) / 1e6)
    return {name: statistics.median(values[WARM_UP:]) for name, values in times.items()}


def test_where_a_request_s_time_goes(capfd: pytest.CaptureFixture[str]) -> None:
    """Control, cached rerank, and the parts of control, each beside the bare handler."""
    factors = sample()
    assert factors.stage2 is not None
    control, treated = service(factors, 0.0), service(factors, 100.0)
    users = factors.user_ids.tolist()[:100]
    people = [resolve_user(factors, user, NO_ROWS) for user in users]
    wanted = [CandidateRequest(person, max(100, factors.stage2.pool)) for person in people]
    found = [generate(factors, each) for each in wanted]
    names = factors.stage2.features
    tables = [feature_table(factors, p.seen, f.rows, f.taste, names) for p, f in zip(people, found, strict=True)]
    answers: list[Recommendation] = [control.recommender.recommend(RecommendRequest(user, 10)) for user in users]
    for user in users:
        treated.recommend(RecommendRequest(user, 10))

    def at(number: int) -> int:
        return number % len(users)

    steps: dict[str, Callable[[int], object]] = {
        "bare handler": lambda n: bare(event(users[at(n)])),
        "control, through the handler": lambda n: answered(event(users[at(n)]), control),
        "cached rerank, through the handler": lambda n: answered(event(users[at(n)]), treated),
        "  pipeline": lambda n: control.recommender.recommend(RecommendRequest(users[at(n)], 10)),
        "    user": lambda n: resolve_user(factors, users[at(n)], NO_ROWS),
        "    candidates": lambda n: generate(factors, wanted[at(n)]),
        "    stage 2, features": lambda n: feature_table(
            factors, people[at(n)].seen, found[at(n)].rows, found[at(n)].taste, names
        ),
        "    stage 2, models": lambda n: factors.stage2 and factors.stage2.score(tables[at(n)]),
        "  metrics": lambda n: control.telemetry.record(answers[at(n)]),
        "  document": lambda n: orjson.dumps(api.answer_document(answers[at(n)], explain=False)),
    }
    # as the function's module does once it has started
    gc.collect()
    gc.freeze()
    medians = cpu_ms(steps)
    gc.unfreeze()
    printed = {name: f"{value:.3f} ms, {value / medians['bare handler']:.0f} x" for name, value in medians.items()}
    modes = {json.loads((answered(event(user), treated) or {})["body"])["mode"] for user in users}
    with capfd.disabled():
        print(f"\n{len(factors.item_ids)} items, load {os.getloadavg()[0]:.1f}")
        print("\n".join(f"{name:38}{value}" for name, value in printed.items()))
    assert modes == {"hybrid_rerank"}
    assert np.isfinite(list(medians.values())).all()
