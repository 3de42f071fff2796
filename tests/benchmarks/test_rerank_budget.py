"""Parallel micro-batches beside one sequential call an item, in 140 ms: `uv run pytest tests/benchmarks -s`."""

from pathlib import Path

import numpy as np
import pytest

from flagrank.benchmarks.rerank import FLAG, SEQUENTIAL, served
from tests.e2e.conftest import synthetic_artifacts

__all__ = ["synthetic_artifacts"]


@pytest.mark.timeout(600)
def test_micro_batches_fit_where_single_calls_do_not(synthetic_artifacts: Path) -> None:
    """Applied, in full or in part, to 99 % of the requests; one call an item in sequence applies to none."""
    ours, elapsed_ms = served(synthetic_artifacts, 1000, {}, {})
    peer, peer_ms = served(synthetic_artifacts, 50, SEQUENTIAL, {})
    p99_ms, peer_p99_ms = np.percentile(elapsed_ms, 99), np.percentile(peer_ms, 99)
    print(f"\nmicro-batches {dict(ours)}, p99 {p99_ms:.1f} ms; sequential {dict(peer)}, p99 {peer_p99_ms:.1f} ms")
    assert ours["hybrid_rerank"] + ours["partial_rerank"] >= 990
    assert peer["hybrid_rerank"] + peer["partial_rerank"] == 0


@pytest.mark.timeout(600)
def test_a_hanging_llm_costs_no_more_than_the_budget(synthetic_artifacts: Path) -> None:
    """Every answer is the baseline, and the 99th percentile stays within the request's budget and a little."""
    modes, elapsed_ms = served(synthetic_artifacts, 300, {}, {"hang": 1.0})
    p99_ms = float(np.percentile(elapsed_ms, 99))
    print(f"\nhanging {dict(modes)}, p99 {p99_ms:.1f} ms")
    assert set(modes) == {"fallback_baseline"}
    assert p99_ms <= FLAG.request_budget_ms + 25
