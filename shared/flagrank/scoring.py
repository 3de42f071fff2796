"""How Stage 1, the learned Stage 2 and the LLM's relevance become one order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from flagrank.domain import Candidate, Ranked
from flagrank.factors import Factors, Rows
from flagrank.features import feature_table


def learned_order(factors: Factors, seen: Rows, pool: Sequence[Candidate]) -> list[Candidate]:
    """The pool in the order of the published Stage 2, with its scores and ranks; as it is where none is published.

    `pool` by falling Stage 1 score, for a user who has seen the item rows `seen`, oldest first. A new item keeps its
    place and takes the score of the item before it: the model has learned from interactions, and it has none. So does
    the whole pool of a user who has fewer than anybody from whom the model learned.
    """
    places = [place for place, candidate in enumerate(pool) if not candidate.is_new]
    if factors.stage2 is None or not places or len(seen) < factors.stage2.document.min_history:
        return list(pool)
    rows = np.array([pool[place].row for place in places])
    scores = np.array([pool[place].score for place in places], np.float32)
    learned = factors.stage2.score(feature_table(factors, seen, rows, scores, factors.stage2.features))
    best_first = np.argsort(-learned, kind="stable").tolist()
    falling = iter([(pool[places[at]], float(learned[at])) for at in best_first])
    score = float(learned[best_first[0]])
    ordered = []
    for rank, candidate in enumerate(pool):
        taken = candidate
        if not candidate.is_new:
            taken, score = next(falling)
        ordered.append(replace(taken, score=score, rank=rank))
    return ordered


def baseline_order(pool: Sequence[Candidate]) -> list[Ranked]:
    """The pool as retrieved, with its scores normalised as final scores."""
    return [Ranked(candidate, score) for candidate, score in zip(pool, normalised(pool), strict=True)]


def hybrid_order(pool: Sequence[Candidate], relevance: Mapping[int, int], alpha: float) -> list[Ranked]:
    """The pool with its judged positions reordered by `alpha` * baseline + (1 - `alpha`) * LLM.

    `relevance` is 0..100 by position in the pool. Judged items share out the positions that they held, so that an
    unjudged one keeps its own and the tail stays behind the head whatever its scores. Ties keep the baseline's order.
    """
    ranked = baseline_order(pool)
    positions = sorted(relevance)
    judged = [_blend(ranked[position], relevance[position] / 100, alpha) for position in positions]
    judged.sort(key=lambda entry: -entry.final_score)
    for position, entry in zip(positions, judged, strict=True):
        ranked[position] = entry
    return ranked


def normalised(pool: Sequence[Candidate]) -> list[float]:
    """Baseline scores stretched over 0..1, all 1 where they are flat."""
    if not pool:
        return []
    scores = [candidate.score for candidate in pool]
    worst, spread = min(scores), max(scores) - min(scores)
    return [(score - worst) / spread if spread > 0 else 1.0 for score in scores]


def _blend(entry: Ranked, llm_score: float, alpha: float) -> Ranked:
    return Ranked(entry.candidate, alpha * entry.final_score + (1 - alpha) * llm_score, llm_score)
