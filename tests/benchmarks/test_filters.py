"""A filtered top-k at a million items beside a plain scan: `uv run pytest tests/benchmarks/test_filters.py -s`."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from flagrank.candidates.als import top_k
from flagrank.model.arrays import Floats, Mask, Rows
from flagrank.model.attributes import Attribute, Attributes
from flagrank.model.filters import parse_filter
from flagrank.ranking.rules import RuleSet
from flagrank.serving.resolve_rules import resolve_rules
from tests.factories import make_factors

ITEMS, DIMENSION, SEEN, K, ROUNDS = 1_000_000, 64, 200, 200, 15


def plain_scan(items: Floats, user: Floats, masked: Rows, eligible: Mask) -> Rows:
    """The peer: one product over all items, then a partial sort."""
    scores = items @ user
    scores[~eligible] = -np.inf
    scores[masked] = -np.inf
    best = np.argpartition(-scores, K)[:K]
    return best[np.lexsort((best, -scores[best]))]


def cpu_ms(call: Callable[..., object], *arguments: object) -> float:
    """The median of this thread's own time: other processes have no part in it, nor have BLAS's other threads."""
    taken = []
    with threadpool_limits(1, "blas"):
        for _ in range(ROUNDS):
            started = time.thread_time()
            call(*arguments)
            taken.append((time.thread_time() - started) * 1000)
    return float(np.median(taken))


def mask_of(text: str, attributes: Attributes) -> Mask:
    """What a request does for its filter."""
    return parse_filter(text).mask(attributes)


@pytest.mark.timeout(600)
def test_a_filter_costs_less_than_the_scan_that_it_saves() -> None:
    """Parsing and masks take a part of a scan's time, few items are found in a part of it, and they are the same."""
    rng = np.random.default_rng(1)
    scale = ((np.arange(ITEMS) + 10.0) ** -0.2).astype(np.float32)[:, None]
    vectors = rng.standard_normal((ITEMS, DIMENSION), np.float32) * scale + np.float32(0.5) * scale
    vectors = np.ascontiguousarray(vectors[np.argsort(-np.linalg.norm(vectors, axis=1))])
    stock = rng.integers(1, 200, ITEMS)
    stock[rng.random(ITEMS) < 0.05] = 0
    brands = tuple(sorted(f"brand {number}" for number in range(200)))
    attributes = {
        "price": Attribute("number", np.round(rng.random(ITEMS) * 1000, 2)),
        "stock": Attribute("integer", stock),
        "brand": Attribute("text", rng.integers(0, len(brands), ITEMS).astype(np.int32), brands),
    }
    gram = np.eye(DIMENSION, dtype=np.float32)
    factors = make_factors(3, dimension=DIMENSION, item_factors=vectors, item_gram=gram, attributes=attributes)
    _ = factors.item_norms
    user = (rng.standard_normal(DIMENSION) + 0.5).astype(np.float32)
    masked = rng.choice(ITEMS, SEEN, replace=False)
    once = cpu_ms(resolve_rules, RuleSet(exclude="brand=brand 3", require="price<900"), factors)
    print(f"\nrules and stock, once for a set: {once:.2f} ms")
    for text in ("price<500", "price<100", "brand=brand 3|brand 4", "price<50,brand=brand 3|brand 4,stock>0"):
        eligible = mask_of(text, attributes)
        found = top_k(factors, user, K, masked, eligible)[0]
        assert found.tolist() == plain_scan(vectors, user, masked, eligible).tolist()
        mask = cpu_ms(mask_of, text, attributes)
        ours = cpu_ms(top_k, factors, user, K, masked, eligible)
        scan = cpu_ms(plain_scan, vectors, user, masked, eligible)
        share, ratio = eligible.mean(), scan / (mask + ours)
        print(f"{text}: {share:.2%} left, mask {mask:.2f}, top-k {ours:.2f}, scan {scan:.2f} ms, ratio {ratio:.1f}")
        assert ratio >= 1.2
