"""What an LLM adds to the test users' lists, and what a gate in front of it would have kept of that."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.adapters.in_memory import InMemoryScoreCache, ManualClock
from flagrank.domain import Mode, Recommendation, RecommendQuery
from flagrank.factors import Factors
from flagrank.gating import margin_at_cut
from flagrank.offline import replay
from flagrank.offline.judges import InProcessLLM, Judge
from flagrank.offline.metrics import bootstrap, ndcg_at_k
from flagrank.offline.query_ranking import QueryRequest
from flagrank.offline.stage_report import Trained, difference, intervals
from flagrank.retrieval import NO_ROWS, resolve_user, retrieve
from flagrank.rollout import FlagDocument
from flagrank.scoring import learned_order

ALPHAS = (0.95, 0.9, 0.8, 0.65, 0.5)
FLAG = FlagDocument(top_m=100, max_input_tokens=200_000)
BINS = ((0, 20), (20, 40), (40, 60), (60, 80), (80, 101))
CUTOFF = 10
KEPT = 0.95
SPARSE_BELOW = (0, 10, 20, 40)
FLAT_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


def llm_effect(trained: Trained, judge: Judge) -> dict[str, Any]:
    """The change over Stage 2 for each `alpha`, the share of fallbacks, the cache's hits, and the scores' calibration.

    The requests have no query: the judge sees what recurs in each user's recent items.
    """
    plain = trained.users.quality(replay.item_ids(trained.stage2))
    by_alpha, hits, misses, fallbacks, requests = {}, 0, 0, 0, 0
    answered: list[Recommendation] = []
    cache = InMemoryScoreCache(ManualClock())
    for alpha in ALPHAS:
        flag = FLAG.model_copy(update={"alpha": alpha})
        recommender = replay.reranking(trained.factors, InProcessLLM(judge), flag, cache)
        answered = replay.answers(recommender, trained.users.ids)
        by_alpha[f"{alpha:g}"] = intervals(difference(trained.users.quality(replay.item_ids(answered)), plain))
        hits += sum(answer.diagnostics.tally.cache_hits for answer in answered)
        misses += sum(answer.diagnostics.tally.cache_misses for answer in answered)
        fallbacks += sum(answer.mode is Mode.FALLBACK_BASELINE for answer in answered)
        requests += len(answered)
    return {
        "alpha": by_alpha,
        "fallback_rate": round(fallbacks / requests, 6),
        "cache": {"hits": hits, "misses": misses, "hit_rate": round(hits / max(1, hits + misses), 6)},
        "calibration": _calibration(answered, trained),
    }


def _calibration(answered: Sequence[Recommendation], trained: Trained) -> list[dict[str, Any]]:
    pairs = [
        (100 * entry.llm_score, entry.candidate.item_id in relevant)
        for answer, relevant in zip(answered, trained.users.relevant, strict=True)
        for entry in answer.items
        if entry.llm_score is not None
    ]
    scores, chosen = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    rows = []
    for low, high in BINS:
        inside = (scores >= low) & (scores < high)
        share = round(float(chosen[inside].mean()), 6) if inside.any() else None
        rows.append({"relevance": [low, min(high, 100)], "items": int(inside.sum()), "chosen": share})
    return rows


def gate_effect(trained: Trained, requests: Sequence[QueryRequest], judge: Judge) -> dict[str, Any]:
    """The gate with the thresholds that, on half of the requests, save most calls and keep 95 % of the gain; judged on
    the other half.

    The requests are those with a query, and one without for each test user: there the held-out items are what counts.
    """
    asked = [RecommendQuery(request.user_id, CUTOFF, query=request.query) for request in requests]
    asked += [RecommendQuery(user_id, CUTOFF) for user_id in trained.users.ids]
    relevant = [set(request.clicked) for request in requests] + trained.users.relevant
    before, after = replay.baseline(trained.factors), replay.reranking(trained.factors, InProcessLLM(judge), FLAG)
    gain = np.subtract(
        *(
            ndcg_at_k(replay.item_ids([recommender.recommend(query) for query in asked]), relevant, CUTOFF)
            for recommender in (after, before)
        )
    )
    seen, margins = _circumstances(trained.factors, asked)
    has_query = np.array([query.query is not None for query in asked])
    halves = np.arange(len(asked)) % 2 == 0
    best: tuple[float, int, float] = (1.0, 0, 1.0)
    for sparse_below in SPARSE_BELOW:
        for quantile in FLAT_QUANTILES:
            flat_below = round(float(np.quantile(margins[halves & ~has_query], quantile)), 4) if quantile else 0.0
            is_open = has_query | (seen < sparse_below) | (margins < flat_below)
            kept = gain[halves & is_open].sum()
            if kept >= KEPT * gain[halves].sum():
                best = min(best, (float(is_open[halves].mean()), sparse_below, flat_below))
    _, sparse_below, flat_below = best
    is_open = has_query | (seen < sparse_below) | (margins < flat_below)
    rest = ~halves
    return {
        "requests": int(rest.sum()),
        "with_query": int((rest & has_query).sum()),
        "gate_sparse_below": sparse_below,
        "gate_flat_below": flat_below,
        "calls_saved": round(float(1 - is_open[rest].mean()), 6),
        "gain_kept": round(float(gain[rest & is_open].sum() / gain[rest].sum()), 6) if gain[rest].sum() > 0 else None,
        "ndcg@10": {
            "always": bootstrap(gain[rest]).document(),
            "gated": bootstrap(np.where(is_open, gain, 0.0)[rest]).document(),
            "queries": bootstrap(gain[rest & has_query]).document() if (rest & has_query).any() else None,
            "no_query": bootstrap(gain[rest & ~has_query]).document(),
        },
    }


def _circumstances(
    factors: Factors, asked: Sequence[RecommendQuery]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    seen, margins = [], []
    pool = factors.stage2.pool if factors.stage2 else replay.LIST_LENGTH
    for query in asked:
        user = resolve_user(factors, query.user_id, NO_ROWS)
        found = retrieve(factors, user, pool, NO_ROWS)
        seen.append(len(user.seen))
        margins.append(margin_at_cut(learned_order(factors, user.seen, found), query.top_k))
    return np.array(seen), np.array(margins)
