"""A request with a query beside the same without one, through the pipeline: `uv run pytest tests/benchmarks -s`."""

import time

import numpy as np
import pytest

from flagrank.benchmarks.shops import made_up, zipf_texts
from flagrank.domain import RecommendRequest
from flagrank.offline.evaluation import replay

USERS = 200
REQUESTS = 200
LEAST_SHARE_ON_TOPIC = 0.95


@pytest.mark.parametrize("items", [2_500, 100_000, 1_000_000])
def test_a_query_costs_little_beside_the_request(items: int) -> None:
    """Two words of one item: what the medians of both kinds of request differ by, and what is on topic."""
    texts = zipf_texts(items)
    factors = made_up(items, USERS, texts=texts)
    factors.warm()
    recommender = replay.baseline(factors)
    rng = np.random.default_rng(2)
    taken: dict[str, list[float]] = {"with": [], "without": []}
    on_topic = []
    for row in rng.integers(items, size=REQUESTS).tolist():
        user = int(rng.integers(1, USERS + 1))
        words = rng.permutation(texts[row].split())[:2].tolist()
        for kind, query in (("without", None), ("with", " ".join(words))):
            started = time.perf_counter()
            answer = recommender.recommend(RecommendRequest(user, 10, query=query))
            taken[kind].append((time.perf_counter() - started) * 1000)
        first = answer.items[0].candidate.text.split()
        on_topic.append(set(words) <= {*first})
    medians = {kind: float(np.median(times)) for kind, times in taken.items()}
    more = medians["with"] - medians["without"]
    print(
        f"\n{items} items: without a query {medians['without']:.2f} ms, with two words {medians['with']:.2f} ms, "
        f"{more:+.2f} ms, ratio {medians['with'] / medians['without']:.2f}, first on topic {np.mean(on_topic):.3f}"
    )
    assert np.mean(on_topic) >= LEAST_SHARE_ON_TOPIC
