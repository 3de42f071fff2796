"""Whether the rerank fits its budget: parallel micro-batches beside one call an item in sequence, in 140 ms."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np

from flagrank.benchmarks.results import OURS, Row, compared
from flagrank.benchmarks.shops import sample_folder
from flagrank.benchmarks.timing import Times
from flagrank.local.cloud import LOCAL_FLAG, LocalCloud

FLAG = LOCAL_FLAG.model_copy(update={"percent": 100.0, "request_budget_ms": 140, "call_budget_ms": 70, "top_m": 60})
SEQUENTIAL = {"FLAGRANK_BATCH_ITEMS": "1", "FLAGRANK_PARALLEL_CALLS": "1"}
PEER, HANGING = "one call an item, in sequence", "an LLM that hangs"
REQUESTS, PEER_REQUESTS, HANGING_REQUESTS = 300, 30, 60


def measure(tiny: bool) -> Iterator[Row]:
    """Times in the function of requests that no cache knows, with the share of them that was reranked."""
    times: Times = {}
    facts: dict[str, dict[str, float]] = {}
    for name, count, settings, behaviour in (
        (OURS, REQUESTS, {}, {}),
        (PEER, PEER_REQUESTS, SEQUENTIAL, {}),
        (HANGING, HANGING_REQUESTS, {}, {"hang": 1.0}),
    ):
        modes, times[name] = served(sample_folder(), 2 if tiny else count, settings, behaviour)
        applied = modes["hybrid_rerank"] + modes["partial_rerank"]
        facts[name] = {"applied": applied / modes.total(), "fallback": modes["fallback_baseline"] / modes.total()}
    yield from compared(f"{FLAG.top_m} items within {FLAG.request_budget_ms} ms", times, unit="ms", facts=facts)


def served(
    artifacts: Path, requests: int, settings: Mapping[str, str], behaviour: Mapping[str, float]
) -> tuple[Counter[str], "np.ndarray[tuple[int], np.dtype[np.float64]]"]:
    """Modes of so many requests with a cold cache, and their times in the function in ms."""
    modes, elapsed_ms = Counter[str](), []
    with (
        LocalCloud(artifacts, FLAG, behaviour, settings=settings) as cloud,
        httpx.Client(base_url=cloud.url, trust_env=False, timeout=30) as client,
    ):
        for number in range(requests):
            # a query of its own makes every request a question that no cache has met
            params = {"user_id": str(number + 1), "query": f"cordless headset calls {number}", "explain": "true"}
            answer = client.get("/recommend", params=params).raise_for_status().json()
            modes[answer["mode"]] += 1
            elapsed_ms.append(answer["diagnostics"]["elapsed_ms"]["total"])
    return modes, np.array(elapsed_ms)
