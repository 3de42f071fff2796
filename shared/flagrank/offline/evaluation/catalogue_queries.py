"""Does a query find what it names? By kind: what the sources find of it, and how each recommender orders that."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.domain import ItemId, Recommendation, RecommendRequest
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.query_draw import CatalogueQuery, Draws
from flagrank.offline.metrics.ranking import PerUser, bootstrap, graded_ndcg_at_k, hits_at_k
from flagrank.serving.pipeline import Recommender
from flagrank.serving.resolve_query import resolve_query

CUTOFF = 10
BASELINE = "baseline"
SOURCES = ("als", "lexical")
UNION = "union"


def catalogue_queries(factors: Factors, draws: Draws, recommenders: Mapping[str, Recommender]) -> dict[str, Any]:
    """The figures of each kind for each recommender, and paired intervals of what each has over BASELINE, one of them.

    hits@10 is the share of the items that answer a query, of 10 where there are more, that the first ten places hold.
    NDCG@10 is by grade. `recall` is the mean share of those items that each source's candidates hold, and `matched` the
    share of queries of which the baseline's candidates meet a word.
    """
    return {kind: _kind(factors, queries, recommenders) for kind, queries in draws.items()}


def quality(queries: Sequence[CatalogueQuery], lists: Sequence[Sequence[ItemId]]) -> dict[str, PerUser]:
    """hits@10 and NDCG@10 of each query's list."""
    return {
        f"hits@{CUTOFF}": hits_at_k(lists, [query.right for query in queries], CUTOFF),
        f"ndcg@{CUTOFF}": graded_ndcg_at_k(lists, [query.grades for query in queries], CUTOFF),
    }


def asked(query: CatalogueQuery, length: int = CUTOFF) -> RecommendRequest:
    """The query as a request."""
    return RecommendRequest(query.user_id, length, query=query.text)


def _kind(
    factors: Factors, queries: Sequence[CatalogueQuery], recommenders: Mapping[str, Recommender]
) -> dict[str, Any]:
    answers = {name: [each.recommend(asked(query)) for query in queries] for name, each in recommenders.items()}
    measured = {name: quality(queries, replay.item_ids(answered)) for name, answered in answers.items()}
    plain = measured[BASELINE]
    return {
        "queries": len(queries),
        "matched": round(float(np.mean([_matched(answer) for answer in answers[BASELINE]])), 6),
        "recall": _recall(factors, queries),
        **{metric: {name: _mean(values[metric]) for name, values in measured.items()} for metric in plain},
        "delta": {
            name: {metric: bootstrap(values[metric] - plain[metric]).document() for metric in plain}
            for name, values in measured.items()
            if name != BASELINE
        },
    }


def _matched(answer: Recommendation) -> bool:
    return answer.diagnostics.query is not None and answer.diagnostics.query.matches > 0


def _recall(factors: Factors, queries: Sequence[CatalogueQuery]) -> dict[str, float]:
    shares: dict[str, list[float]] = {name: [] for name in (*SOURCES, UNION)}
    for query in queries:
        found = _found(factors, query)
        for name, item_ids in found.items():
            shares[name].append(len(item_ids & query.right) / len(query.right))
    return {name: _mean(np.array(values)) for name, values in shares.items()}


def _found(factors: Factors, query: CatalogueQuery) -> dict[str, set[ItemId]]:
    user = resolve_user(factors, query.user_id, NO_ROWS)
    size = max(replay.LIST_LENGTH, factors.stage2.pool if factors.stage2 else 0)
    found = generate(factors, CandidateRequest(user, size, resolve_query(query.text, factors).terms))
    by_source = {name: found.found.get(name, NO_ROWS) for name in SOURCES} | {UNION: found.rows}
    return {name: set(factors.item_ids[rows].tolist()) for name, rows in by_source.items()}


def _mean(values: PerUser) -> float:
    return round(float(values.mean()), 6)
