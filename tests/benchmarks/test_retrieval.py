"""Exact early-stopping retrieval beside a plain scan: `uv run pytest tests/benchmarks -s`."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from flagrank.candidates.als import top_k
from flagrank.model.arrays import Floats, Rows
from tests.factories import make_factors

DIMENSION = 64
SEEN = 200
ROUNDS = 30


def plain_scan(items: Floats, user: Floats, k: int, masked: Rows) -> Rows:
    """The peer: one product over all items, then a partial sort."""
    scores = items @ user
    scores[masked] = -np.inf
    best = np.argpartition(-scores, k)[:k]
    return best[np.argsort(-scores[best], kind="stable")]


def median_ms(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1000)
    return float(np.median(taken))


@pytest.mark.parametrize(
    ("items", "skew", "least_ratio"),
    [(2_000, 1.0, 0.2), (1_000_000, 1.0, 4.0), (1_000_000, 0.0, 0.5)],
    ids=["small shop", "a million items, popularity-skewed norms", "a million items, flat norms (worst case)"],
)
def test_the_early_stop_pays_where_it_can(items: int, skew: float, least_ratio: float) -> None:
    """Many times faster than the scan on skewed norms, not much slower on flat ones, and the same items."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((items, DIMENSION), np.float32)
    # popularity-trained factors: a shared direction whose strength falls with rank, as ALS makes them
    scale = ((np.arange(items) + 10.0) ** (-0.2 * skew)).astype(np.float32)[:, None]
    vectors = vectors * scale + skew * scale * np.float32(0.5)
    vectors = vectors[np.argsort(-np.linalg.norm(vectors, axis=1))]
    factors = make_factors(3, dimension=DIMENSION, item_factors=vectors, item_gram=np.eye(DIMENSION, dtype=np.float32))
    user = (rng.standard_normal(DIMENSION) + 0.5 * skew).astype(np.float32)
    masked = rng.choice(items, SEEN, replace=False)
    assert set(top_k(factors, user, 100, masked)[0]) == set(plain_scan(vectors, user, 100, masked))
    ours = median_ms(lambda: top_k(factors, user, 100, masked))
    scan = median_ms(lambda: plain_scan(vectors, user, 100, masked))
    print(f"\n{items} x {DIMENSION}, skew {skew}: ours {ours:.2f} ms, scan {scan:.2f} ms, ratio {scan / ours:.1f}")
    assert scan / ours >= least_ratio
