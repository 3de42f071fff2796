"""Exact retrieval beside a plain scan, implicit and faiss: one user, the top 100, 200 seen items masked."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np

from flagrank.benchmarks.peers import absent, peer
from flagrank.benchmarks.results import OURS, Row, compared
from flagrank.benchmarks.shops import DIMENSION, item_vectors, made_up, user_vectors
from flagrank.benchmarks.timing import interleaved
from flagrank.candidates.als import top_k
from flagrank.model.arrays import Floats, Rows

K, SEEN = 100, 200
NUMPY, IMPLICIT, FLAT, HNSW = "numpy", "implicit", "faiss flat", "faiss HNSW"
HNSW_LINKS, HNSW_BUILD, HNSW_SEARCH = 32, 80, 256
# a larger graph takes minutes to build
MOST_HNSW_ITEMS = 100_000
RECALL_USERS = 10
# items, and the skew of their norms
FULL = ((2_000, 1.0), (100_000, 1.0), (1_000_000, 1.0), (1_000_000, 0.0))
TINY = ((600, 1.0),)


type Search = Callable[[int], Rows]


def plain_scan(items: Floats, user: Floats, k: int, masked: Rows) -> Rows:
    """One product over all items, then a partial sort."""
    scores = items @ user
    scores[masked] = -np.inf
    best = np.argpartition(-scores, k)[:k]
    return best[np.argsort(-scores[best], kind="stable")]


def measure(tiny: bool) -> Iterator[Row]:
    """Time and recall of each, for shops of several sizes."""
    for items, skew in TINY if tiny else FULL:
        yield from measured(items, skew, 5 if tiny else 40)


def measured(items: int, skew: float, rounds: int) -> list[Row]:
    """The rows of one shop."""
    vectors, users = item_vectors(items, skew), user_vectors(rounds, skew)
    factors = replace(made_up(3), item_factors=vectors)
    masked = np.sort(np.random.default_rng(4).choice(items, SEEN, replace=False))
    searches: dict[str, Search] = {
        OURS: lambda n: top_k(factors, users[n], K, masked)[0],
        NUMPY: lambda n: plain_scan(vectors, users[n], K, masked),
    }
    missing: dict[str, str] = {}
    for name, module, made in (
        (IMPLICIT, "implicit", _implicit),
        (FLAT, "faiss", _flat),
        (HNSW, "faiss", _hnsw),
    ):
        if name == HNSW and items > MOST_HNSW_ITEMS:
            missing[name] = f"its graph takes minutes to build: at most {MOST_HNSW_ITEMS:,} items here"
        elif library := peer(module):
            searches[name] = made(library, vectors, users, masked)
        else:
            missing[name] = absent(module)
    times = interleaved(dict(searches), rounds)
    facts = {name: {"recall": recall(searches[name], searches[NUMPY], min(rounds, RECALL_USERS))} for name in times}
    return compared(f"{items:,} x {DIMENSION}{'' if skew else ', norms alike'}", times, facts=facts, missing=missing)


def recall(search: Search, exact: Search, users: int) -> float:
    """The share of the exact K that a search finds, over the first users."""
    return float(np.mean([len(np.intersect1d(search(number), exact(number))) / K for number in range(users)]))


def _implicit(implicit: Any, vectors: Floats, users: Floats, masked: Rows) -> Search:
    sparse = peer("scipy.sparse")
    assert sparse is not None, "implicit brings scipy"
    model = implicit.als.AlternatingLeastSquares(factors=DIMENSION, use_gpu=False)
    model.item_factors, model.user_factors = vectors, users
    ones, none = np.ones(len(masked), np.float32), np.zeros(len(masked), np.int32)
    seen = sparse.csr_matrix((ones, (none, masked)), shape=(1, len(vectors)))

    def search(number: int) -> Rows:
        found, _ = model.recommend(number, seen, N=K, filter_already_liked_items=True)
        return cast(Rows, found)

    return search


def _flat(faiss: Any, vectors: Floats, users: Floats, masked: Rows) -> Search:
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(vectors)
    return _searching(index, users, masked)


def _hnsw(faiss: Any, vectors: Floats, users: Floats, masked: Rows) -> Search:
    index = faiss.IndexHNSWFlat(DIMENSION, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = HNSW_BUILD
    index.add(vectors)
    index.hnsw.efSearch = HNSW_SEARCH
    return _searching(index, users, masked)


def _searching(index: Any, users: Floats, masked: Rows) -> Search:
    # as many more as may be masked
    wanted = K + len(masked)

    def search(number: int) -> Rows:
        _, found = index.search(users[number : number + 1], wanted)
        rows = found[0]
        return cast(Rows, rows[~np.isin(rows, masked)][:K])

    return search
