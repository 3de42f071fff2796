"""A request with a query beside the same without one, through the pipeline: `uv run pytest tests/benchmarks -s`."""

import time

import numpy as np
import orjson
import pytest

from flagrank.domain import RecommendRequest
from flagrank.model.catalog import Catalog
from flagrank.model.factors import Factors, Lexicon
from flagrank.model.lexical import build_lexical_index
from flagrank.offline.evaluation import replay
from tests.factories import make_factors

DIMENSION = 64
USERS = 200
WORDS = 20_000
WORDS_A_TEXT = 10
REQUESTS = 200
LEAST_SHARE_ON_TOPIC = 0.95


def shop_of(items: int) -> tuple[Factors, list[str]]:
    """A set with popularity-skewed factors, as ALS makes them, and texts of Zipf's words."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((items, DIMENSION), np.float32)
    scale = ((np.arange(items) + 10.0) ** -0.2).astype(np.float32)[:, None]
    vectors = vectors * scale + scale * np.float32(0.5)
    vectors = vectors[np.argsort(-np.linalg.norm(vectors, axis=1))]
    shares = np.cumsum(1 / np.arange(1, WORDS + 1))
    drawn = np.searchsorted(shares / shares[-1], rng.random((items, WORDS_A_TEXT)))
    texts = [" ".join(dict.fromkeys(f"word{number}" for number in row)) for row in drawn.tolist()]
    lines = [
        orjson.dumps({"id": row, "title": f"Item {row}", "category": "all", "text": text})
        for row, text in enumerate(texts)
    ]
    factors = make_factors(
        items,
        USERS,
        DIMENSION,
        item_factors=vectors,
        item_ids=np.arange(items, dtype=np.int64),
        user_factors=(rng.standard_normal((USERS, DIMENSION)) + 0.5).astype(np.float32),
        item_gram=np.eye(DIMENSION, dtype=np.float32),
        catalog=Catalog.of(lines),
        lexicon=Lexicon({}, {}),
        lexical=build_lexical_index(texts),
    )
    factors.warm()
    return factors, texts


@pytest.mark.parametrize("items", [2_500, 100_000, 1_000_000])
def test_a_query_costs_little_beside_the_request(items: int) -> None:
    """Two words of one item: what the medians of both kinds of request differ by, and what is on topic."""
    factors, texts = shop_of(items)
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
