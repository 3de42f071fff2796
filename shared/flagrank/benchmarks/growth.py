"""How the parts grow as their work does: a part that is linear takes ten times as long for ten times as much."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np

from flagrank.benchmarks.results import OURS, Row, grown
from flagrank.benchmarks.shops import item_vectors, made_up, sample, sample_folder, user_vectors
from flagrank.benchmarks.timing import Times, interleaved
from flagrank.candidates.als import top_k
from flagrank.candidates.fold_in import fold_in
from flagrank.candidates.user import resolve_user
from flagrank.local.cloud import LOCAL_FLAG, LocalCloud
from flagrank.model.arrays import NO_ROWS
from flagrank.model.features import feature_table

ROUNDS = 100
ITEMS, USERS, HISTORY = (10_000, 100_000, 1_000_000), (10_000, 100_000, 1_000_000), (10, 100, 1_000)
CANDIDATES, ENVIRONMENTS = (20, 200, 2_000), (1, 10)
REQUESTS = 100


def measure(tiny: bool) -> Iterator[Row]:
    """Items (top 100), users (finding one), history (fold-in), candidates (Stage 2), environments (a request)."""
    shrunk = 100 if tiny else 1
    rounds = 5 if tiny else ROUNDS
    yield from grown("items", {size // shrunk: _items(size // shrunk, rounds) for size in ITEMS})
    yield from grown("users", {size // shrunk: _users(size // shrunk, rounds) for size in USERS})
    yield from grown("history", {size: _history(size, rounds) for size in HISTORY})
    yield from grown("candidates", {size: _candidates(size, rounds) for size in CANDIDATES})
    environments = ENVIRONMENTS[:1] if tiny else ENVIRONMENTS
    yield from grown(
        "environments", {size: _environments(size, 5 if tiny else REQUESTS) for size in environments}, unit="ms"
    )


def _items(items: int, rounds: int) -> Times:
    factors, users = replace(made_up(3), item_factors=item_vectors(items, 1.0)), user_vectors(rounds, 1.0)
    return interleaved({OURS: lambda n: top_k(factors, users[n], 100, NO_ROWS)}, rounds)


def _users(users: int, rounds: int) -> Times:
    factors = made_up(100, users, history=20)
    asked = np.random.default_rng(5).integers(1, users + 1, rounds).tolist()
    return interleaved({OURS: lambda n: resolve_user(factors, asked[n], NO_ROWS)}, rounds)


def _history(length: int, rounds: int) -> Times:
    factors = made_up(10_000)
    rng = np.random.default_rng(6)
    histories = [rng.choice(10_000, length, replace=False) for _ in range(rounds)]
    return interleaved({OURS: lambda n: fold_in(factors, histories[n])}, rounds)


def _candidates(count: int, rounds: int) -> Times:
    factors = sample()
    stage2 = factors.stage2
    assert stage2 is not None
    user = resolve_user(factors, factors.user_ids[0].item(), NO_ROWS)
    assert user.vector is not None
    rows, scores = top_k(factors, user.vector, count, user.seen)
    names = stage2.features
    return interleaved({OURS: lambda _: stage2.score(feature_table(factors, user.seen, rows, scores, names))}, rounds)


def _environments(count: int, requests: int) -> Times:
    flag = LOCAL_FLAG.model_copy(update={"percent": 0.0})
    with (
        LocalCloud(sample_folder(), flag, environments=count) as cloud,
        httpx.Client(base_url=cloud.url, trust_env=False, timeout=30) as client,
    ):
        # until each has answered once
        warm_up = 3 * count
        return interleaved(
            {OURS: lambda n: client.get("/recommend", params={"user_id": n + 1}).raise_for_status()},
            requests,
            warm_up=warm_up,
            wall=True,
        )
