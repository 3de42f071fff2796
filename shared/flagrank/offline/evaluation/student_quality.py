"""What a student is worth on intents that it never met: how near its order is to the LLM's, beside the baseline's."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flagrank.candidates.query import query_relevance
from flagrank.candidates.source import Term
from flagrank.model.arrays import Rows, Scores
from flagrank.model.factors import Factors
from flagrank.model.stage2 import Vector
from flagrank.model.student_features import relevance as student_relevance
from flagrank.offline.data.judgements import JudgedIntent
from flagrank.offline.metrics.ranking import PerUser, bootstrap
from flagrank.ranking.scoring import query_order

CUTOFF = 10
NDCG = f"ndcg@{CUTOFF}"
# relevance 0..100 as the grades 0..4 of web search
POINTS_PER_GRADE = 25


def student_quality(factors: Factors, judged: Sequence[JudgedIntent], alpha: float) -> dict[str, Any]:
    """NDCG@10 by the LLM's own relevance and Spearman's correlation with it, of both orders, with paired intervals.

    The student's order is blended with the baseline's places by `alpha`, as serving blends them; its correlation is
    that of its relevance alone. Intents whose items the LLM found all alike say nothing and are left out. Without known
    ranks the baseline is that of somebody without a history: the query's words, then popularity.
    """
    telling = [each for each in judged if len(set(each.relevance.tolist())) > 1]
    found = [_measured(factors, each, alpha) for each in telling]
    plain, student, plain_rho, rho = (np.array(values) for values in zip(*found, strict=True))
    return {
        "intents": len(telling),
        "judgements": sum(len(each.relevance) for each in telling),
        "with_ranks": sum(each.ranked for each in telling),
        "alpha": alpha,
        NDCG: _compared(plain, student),
        "rank_correlation": _compared(plain_rho, rho),
    }


def is_better(quality: dict[str, Any]) -> bool:
    """Whether the student gains over the baseline beyond doubt: the only ground to publish it."""
    return bool(quality[NDCG]["gain"]["ci95"][0] > 0)


def ndcg_by_relevance(order: Rows, relevance: Rows, k: int = CUTOFF) -> float:
    """NDCG of items (c,) in this order. The gain is 2^grade - 1 (Burges 2005), relevance 0..100 as grades 0..4."""
    gains = 2.0 ** (relevance / POINTS_PER_GRADE) - 1
    discounts = 1 / np.log2(np.arange(2, min(k, len(order)) + 2))
    ideal = np.sort(gains)[::-1][: len(discounts)] @ discounts
    return float(gains[order[: len(discounts)]] @ discounts / ideal) if ideal > 0 else 0.0


def rank_correlation(one: Scores, other: Scores) -> float:
    """Spearman's rho of two scores of the same items, with the mean rank for ties; 0 where one of them is all tied."""
    left, right = (_mean_ranks(scores) for scores in (one, other))
    left, right = left - left.mean(), right - right.mean()
    norm = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / norm if norm > 0 else 0.0


def _measured(factors: Factors, judged: JudgedIntent, alpha: float) -> tuple[float, float, float, float]:
    if not judged.ranked:
        judged = _by_stranger(factors, judged)
    places, size = np.arange(len(judged.rows)), len(judged.rows)
    by_student = student_relevance(factors, judged.intent, judged.rows)
    blended = alpha * (1 - places / max(1, size - 1)) + (1 - alpha) * by_student / 100
    return (
        ndcg_by_relevance(places, judged.relevance),
        ndcg_by_relevance(np.argsort(-blended, kind="stable"), judged.relevance),
        rank_correlation(-places.astype(np.float64), judged.relevance.astype(np.float64)),
        rank_correlation(by_student.astype(np.float64), judged.relevance.astype(np.float64)),
    )


def _by_stranger(factors: Factors, judged: JudgedIntent) -> JudgedIntent:
    assert factors.lexical is not None
    by_popularity = np.argsort(-factors.popularity[judged.rows], kind="stable")
    rows, relevance = judged.rows[by_popularity], judged.relevance[by_popularity]
    terms = [Term(word) for word in judged.intent.split()]
    ordered, _ = query_order(rows, query_relevance(factors.lexical, terms, rows))
    of_row = dict(zip(rows.tolist(), relevance.tolist(), strict=True))
    scores = np.array([of_row[row] for row in ordered.tolist()], np.int64)
    return JudgedIntent(judged.intent, ordered, scores, ranked=False)


def _mean_ranks(scores: Scores) -> Vector:
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Vector = ((ends - counts + ends - 1) / 2)[which]
    return ranks


def _compared(baseline: PerUser, student: PerUser) -> dict[str, Any]:
    return {
        "baseline": bootstrap(baseline).document(),
        "student": bootstrap(student).document(),
        "gain": bootstrap(student - baseline).document(),
    }
