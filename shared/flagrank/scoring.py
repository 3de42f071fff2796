"""How the baseline's scores and the LLM's relevance become one order."""

from collections.abc import Mapping, Sequence

from flagrank.domain import Candidate, Ranked


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
