"""What treated requests cost in time, and how many are judged, while an LLM at a real one's speed works behind them."""

import os
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest

from flagrank.benchmarks.judging_paths import llm_usd, with_student
from flagrank.benchmarks.query_mix import Answer, ask_all, distinct_texts, zipf_mix
from flagrank.local.cloud import LOCAL_FLAG, LocalCloud
from flagrank.model.encoding import encode
from flagrank.offline.data import synthetic
from flagrank.offline.publishing import artifact_folder
from flagrank.offline.training.als import AlsParameters, train

QUERIES, REQUESTS, CALLERS = 500, int(os.environ.get("ASYNC_REQUESTS", "5000")), 2
# what the student learns from: queries that are not among those asked
JUDGED_QUERIES = 400
PER_SECOND = float(os.environ.get("ASYNC_PER_SECOND", "20"))
PERCENT = float(os.environ.get("ASYNC_PERCENT", "90"))
MALFORMED = float(os.environ.get("ASYNC_MALFORMED", "0.04"))
REAL = {"latency_ms": 350.0, "ms_per_input_token": 1.6, "ms_per_output_token": 1.6, "malformed": MALFORMED}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("student", ["off", "fill"])
def test_a_zipf_like_mix_on_two_environments(tmp_path: Path, student: str) -> None:
    """5,000 requests with 500 queries: p95 by arm, share judged, texts judged twice."""
    parameters = AlsParameters(iterations=8)
    factors = train(synthetic.generate(), parameters)
    mix = zipf_mix(factors, QUERIES, REQUESTS)
    if student == "fill":
        others = zipf_mix(factors, JUDGED_QUERIES, 0, seed=2).distinct
        factors = with_student(factors, others, mix)
    files = encode(factors, created="2026-01-01T00:00:00+00:00", training=parameters.recorded())
    artifact_folder.save(files, tmp_path / "set")
    flag = LOCAL_FLAG.model_copy(update={"path": "async", "percent": PERCENT, "student": student})
    with LocalCloud(tmp_path / "set", flag, REAL, environments=2) as cloud:
        answers = ask_all(cloud.url, mix, CALLERS, PER_SECOND)
        time.sleep(5)
        statistics = httpx.get(cloud.endpoint("bedrock") + "/_statistics").json()
        distinct = distinct_texts(cloud)
    treated, control = ([answer for answer in answers if answer.arm == arm] for arm in ("treatment", "control"))
    print(f"\nstudent {student}, load {os.getloadavg()}")
    _print_times("treatment", treated)
    _print_times("control", control)
    _print_judged(treated)
    print(f"{statistics}; {distinct} distinct (intent, text), {statistics['texts'] / distinct:.3f} judged for each")
    usd = llm_usd(statistics)
    print(f"{1000 * usd / len(treated):.4f} USD per 1,000 treated requests")
    # on a busy machine the table's answer may come too late
    assert {answer.reason for answer in treated} <= {"split", "warming", "cache"}


def _print_times(arm: str, answers: list[Answer]) -> None:
    assert answers
    p50, p95, p99 = np.percentile([answer.took_ms for answer in answers], (50, 95, 99))
    print(f"{arm}: {len(answers)} requests, p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms")


def _print_judged(treated: list[Answer]) -> None:
    judged = np.array([answer.is_reranked for answer in treated], float)
    halves = [f"{half.mean():.1%}" for half in np.array_split(judged, 2)]
    print(f"reranked: {judged.mean():.1%}, by half {halves}")
    print(Counter((answer.mode, answer.reason) for answer in treated))
    print(f"asked for the first time: {len({answer.query for answer in treated}) / len(treated):.1%}")
