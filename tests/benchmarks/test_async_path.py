"""What treated requests cost in time, and how many are judged, while an LLM at a real one's speed works behind them."""

import itertools
import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from flagrank.domain import RecommendRequest
from flagrank.local.cloud import LOCAL_FLAG, TABLE, LocalCloud
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors
from flagrank.offline.data import synthetic
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.distillation import distill
from flagrank.offline.evaluation.llm_effect import FLAG
from flagrank.offline.evaluation.llm_simulators import SimulatedLLM, simulate_by_words
from flagrank.offline.evaluation.student_arm import judged_texts
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.training.als import AlsParameters, train

QUERIES, REQUESTS, CALLERS = 500, int(os.environ.get("ASYNC_REQUESTS", "5000")), 2
# what the student learns from: queries that are not among those asked
JUDGED_QUERIES = 400
PER_SECOND = float(os.environ.get("ASYNC_PER_SECOND", "20"))
PERCENT = float(os.environ.get("ASYNC_PERCENT", "90"))
MALFORMED = float(os.environ.get("ASYNC_MALFORMED", "0.04"))
# Nova Lite's, as the template has them
USD_PER_MILLION = {"input_tokens": 0.06, "output_tokens": 0.24}
RERANKED = ("hybrid_rerank", "partial_rerank", "student_rerank")
REAL = {"latency_ms": 350.0, "ms_per_input_token": 1.6, "ms_per_output_token": 1.6, "malformed": MALFORMED}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as the caller saw it."""

    query: str
    arm: str
    mode: str
    reason: str
    took_ms: float


@pytest.mark.timeout(900)
@pytest.mark.parametrize("student", ["off", "fill"])
def test_a_zipf_like_mix_on_two_environments(tmp_path: Path, student: str) -> None:
    """5,000 requests with 500 queries: p95 by arm, share judged, texts judged twice."""
    parameters = AlsParameters(iterations=8)
    factors = train(synthetic.generate(), parameters)
    dice = random.Random(1)
    items = [factors.catalog[row].text.split() for row in range(len(factors.item_ids))]
    drawn = [" ".join(dice.sample(words, 2)) for words in dice.sample(items, QUERIES + JUDGED_QUERIES)]
    queries, others = drawn[:QUERIES], drawn[QUERIES:]
    if student == "fill":
        factors = _with_student(factors, others, {frozenset(query.split()) for query in queries})
    files = encode(factors, created="2026-01-01T00:00:00+00:00", training=parameters.recorded())
    artifact_folder.save(files, tmp_path / "set")
    weights = [1 / rank for rank in range(1, QUERIES + 1)]
    asked = dice.choices(queries, weights, k=REQUESTS)
    users = [dice.randint(1, len(factors.user_ids)) for _ in range(REQUESTS)]
    flag = LOCAL_FLAG.model_copy(update={"path": "async", "percent": PERCENT, "student": student})
    with LocalCloud(tmp_path / "set", flag, REAL, environments=2) as cloud:
        answers = _ask_all(cloud.url, users, asked)
        time.sleep(5)
        statistics = httpx.get(cloud.endpoint("bedrock") + "/_statistics").json()
        distinct = _distinct(cloud)
    treated, control = ([answer for answer in answers if answer.arm == arm] for arm in ("treatment", "control"))
    print(f"\nstudent {student}, load {os.getloadavg()}")
    _print_times("treatment", treated)
    _print_times("control", control)
    _print_judged(treated)
    print(f"{statistics}; {distinct} distinct (intent, text), {statistics['texts'] / distinct:.3f} judged for each")
    usd = sum(USD_PER_MILLION[name] * statistics[name] for name in USD_PER_MILLION) / 1e6
    print(f"{1000 * usd / len(treated):.4f} USD per 1,000 treated requests")
    # on a busy machine the table's answer may come too late
    assert {answer.reason for answer in treated} <= {"split", "warming", "cache"}


def _print_times(arm: str, answers: list[Answer]) -> None:
    assert answers
    p50, p95, p99 = np.percentile([answer.took_ms for answer in answers], (50, 95, 99))
    print(f"{arm}: {len(answers)} requests, p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms")


def _print_judged(treated: list[Answer]) -> None:
    judged = np.array([answer.mode in RERANKED for answer in treated], float)
    halves = [f"{half.mean():.1%}" for half in np.array_split(judged, 2)]
    print(f"reranked: {judged.mean():.1%}, by half {halves}")
    print(Counter((answer.mode, answer.reason) for answer in treated))
    print(f"asked for the first time: {len({answer.query for answer in treated}) / len(treated):.1%}")


def _with_student(factors: Factors, queries: list[str], asked: set[frozenset[str]]) -> Factors:
    """The set with a student of what the stand-in's judge says of queries, none of which will be `asked`."""
    recommender = replay.reranking(factors, SimulatedLLM(simulate_by_words), FLAG)
    users = itertools.cycle(factors.user_ids.tolist())
    judged = [
        text
        for query, user_id in zip(queries, users, strict=False)
        if frozenset(query.split()) not in asked
        for text in judged_texts(recommender.recommend(RecommendRequest(user_id, 60, query=query)), "words")
    ]
    made = distill(factors, judged)
    print("student:", made.is_better, made.report["held_out"])
    return made.factors


def _ask_all(url: str, users: list[int], queries: list[str]) -> list[Answer]:
    began_s = time.monotonic()

    def ask(number: int) -> Answer:
        time.sleep(max(0.0, began_s + number / PER_SECOND - time.monotonic()))
        started_s = time.monotonic()
        response = client.get("/recommend", params={"user_id": users[number], "query": queries[number]})
        took_ms = (time.monotonic() - started_s) * 1000
        document = response.json()
        return Answer(queries[number], document["arm"], document["mode"], document["reason"], took_ms)

    with httpx.Client(base_url=url, timeout=30) as client, ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(ask, range(len(users))))


def _distinct(cloud: LocalCloud) -> int:
    pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
    return sum(len(bytes(item["scores"]["B"])) // 9 for page in pages for item in page["Items"] if "scores" in item)
