"""A mix of queries as shops see it, sent to a local cloud: a few are asked often, most of them seldom."""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from flagrank.local.cloud import TABLE, LocalCloud
from flagrank.model.factors import Factors

ENTRY_BYTES = 9
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Mix:
    """What is asked, in order: a user and a query each. `distinct` are the queries that it is drawn from."""

    users: Sequence[int]
    queries: Sequence[str]
    distinct: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as the caller saw it. `missing` are the items that the cache did not hold."""

    query: str
    arm: str
    mode: str
    reason: str
    took_ms: float
    missing: int

    @property
    def is_reranked(self) -> bool:
        """Whether the LLM's relevance, or the student's, ordered the list."""
        return self.mode in ("hybrid_rerank", "partial_rerank", "student_rerank")


def zipf_mix(factors: Factors, queries: int, requests: int, seed: int = 1) -> Mix:
    """Queries of two words of one item each, asked as often as 1 / rank, by users drawn evenly."""
    dice = random.Random(seed)  # noqa: S311 - a draw that is the same each time
    items = [factors.catalog[row].text.split() for row in range(len(factors.item_ids))]
    distinct = [" ".join(dice.sample(words, 2)) for words in dice.sample(items, queries)]
    asked = dice.choices(distinct, [1 / rank for rank in range(1, queries + 1)], k=requests)
    users = [dice.choice(factors.user_ids.tolist()) for _ in range(requests)]
    return Mix(users, asked, distinct)


def ask_all(url: str, mix: Mix, callers: int, per_second: float) -> list[Answer]:
    """The answers to all requests, sent by so many callers and no faster than the pace."""
    began_s = time.monotonic()

    def ask(number: int) -> Answer:
        time.sleep(max(0.0, began_s + number / per_second - time.monotonic()))
        query, started_s = mix.queries[number], time.monotonic()
        parameters = {"user_id": str(mix.users[number]), "query": query, "explain": "true"}
        document = client.get("/recommend", params=parameters).raise_for_status().json()
        took_ms = (time.monotonic() - started_s) * 1000
        missing = document["diagnostics"]["cache_misses"]
        return Answer(query, document["arm"], document["mode"], document["reason"], took_ms, missing)

    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client, ThreadPoolExecutor(callers) as pool:
        return list(pool.map(ask, range(len(mix.users))))


def distinct_texts(cloud: LocalCloud) -> int:
    """How many pairs of intent and text the cache holds scores of."""
    pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
    records = (bytes(item["scores"]["B"]) for page in pages for item in page["Items"] if "scores" in item)
    return sum(len(record) // ENTRY_BYTES for record in records)
