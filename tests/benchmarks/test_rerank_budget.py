"""Parallel micro-batches beside one sequential call an item, in 140 ms: `uv run pytest tests/benchmarks -s`."""

from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest

from flagrank.local.cloud import LOCAL_FLAG, LocalCloud
from tests.e2e.conftest import synthetic_artifacts

__all__ = ["synthetic_artifacts"]

FLAG = LOCAL_FLAG.model_copy(update={"percent": 100.0, "request_budget_ms": 140, "call_budget_ms": 70, "top_m": 60})
SEQUENTIAL = {"FLAGRANK_BATCH_ITEMS": "1", "FLAGRANK_PARALLEL_CALLS": "1"}


def served(artifacts: Path, requests: int, settings: dict[str, str], **behaviour: float) -> tuple[Counter[str], float]:
    """Modes of so many requests with a cold cache, and the 99th percentile of their time in the function, ms."""
    modes, elapsed_ms = Counter[str](), []
    with LocalCloud(artifacts, FLAG, behaviour, settings=settings) as cloud, httpx.Client(base_url=cloud.url) as client:
        for number in range(requests):
            # a query of its own makes every request a question that no cache has met
            params = {"user_id": str(number + 1), "query": f"cordless headset calls {number}", "explain": "true"}
            answer = client.get("/recommend", params=params).json()
            modes[answer["mode"]] += 1
            elapsed_ms.append(answer["diagnostics"]["elapsed_ms"]["total"])
    return modes, float(np.percentile(elapsed_ms, 99))


@pytest.mark.timeout(600)
def test_micro_batches_fit_where_single_calls_do_not(synthetic_artifacts: Path) -> None:
    """Applied, in full or in part, to 99 % of the requests; one call an item in sequence applies to none."""
    ours, p99_ms = served(synthetic_artifacts, 1000, {})
    peer, peer_p99_ms = served(synthetic_artifacts, 50, SEQUENTIAL)
    print(f"\nmicro-batches {dict(ours)}, p99 {p99_ms:.1f} ms; sequential {dict(peer)}, p99 {peer_p99_ms:.1f} ms")
    assert ours["hybrid_rerank"] + ours["partial_rerank"] >= 990
    assert peer["hybrid_rerank"] + peer["partial_rerank"] == 0


@pytest.mark.timeout(600)
def test_a_hanging_llm_costs_no_more_than_the_budget(synthetic_artifacts: Path) -> None:
    """Every answer is the baseline, and the 99th percentile stays within the request's budget and a little."""
    modes, p99_ms = served(synthetic_artifacts, 300, {}, hang=1.0)
    print(f"\nhanging {dict(modes)}, p99 {p99_ms:.1f} ms")
    assert set(modes) == {"fallback_baseline"}
    assert p99_ms <= FLAG.request_budget_ms + 25
