"""What an LLM adds to the test users' lists."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flagrank.adapters.in_memory import InMemoryScoreCache, ManualClock
from flagrank.domain import Mode, Recommendation
from flagrank.flags.document import FlagDocument
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.llm_simulators import LLMSimulator, SimulatedLLM
from flagrank.offline.evaluation.stage_report import Trained, difference, intervals

ALPHAS = (0.95, 0.9, 0.8, 0.65, 0.5)
FLAG = FlagDocument(top_m=100, max_input_tokens=200_000)
BINS = ((0, 20), (20, 40), (40, 60), (60, 80), (80, 101))


def llm_effect(trained: Trained, simulator: LLMSimulator) -> dict[str, Any]:
    """The change over Stage 2 for each `alpha`, the share of fallbacks, the cache's hits, and the scores' calibration.

    The requests have no query: the LLM sees what recurs in each user's recent items. The cache's figures are those of
    the first `alpha`; the others ask for the same scores again.
    """
    plain = trained.users.quality(replay.item_ids(trained.stage2))
    cache = InMemoryScoreCache(ManualClock())
    by_alpha = {}
    for alpha in ALPHAS:
        flag = FLAG.model_copy(update={"alpha": alpha})
        by_alpha[alpha] = replay.answers(
            replay.reranking(trained.factors, SimulatedLLM(simulator), flag, cache), trained.users.ids
        )
    first = by_alpha[ALPHAS[0]]
    hits = sum(answer.diagnostics.tally.cache_hits for answer in first)
    misses = sum(answer.diagnostics.tally.cache_misses for answer in first)
    fallbacks = sum(answer.mode is Mode.FALLBACK_BASELINE for answer in first)
    return {
        "alpha": {
            f"{alpha:g}": intervals(difference(trained.users.quality(replay.item_ids(answered)), plain))
            for alpha, answered in by_alpha.items()
        },
        "fallback_rate": round(fallbacks / len(first), 6),
        "cache": {"hits": hits, "misses": misses, "hit_rate": round(hits / max(1, hits + misses), 6)},
        "calibration": _calibration(first, trained),
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
