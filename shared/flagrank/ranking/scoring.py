"""How Stage 1, the learned Stage 2 and the LLM's relevance become one order."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flagrank.domain import Candidate, Ranked
from flagrank.model.arrays import Rows, Scores
from flagrank.model.factors import Factors
from flagrank.model.features import feature_table

# the weight of taste beside a query's relevance: less than one word of three is worth (infra/decisions/0061)
TASTE_BESIDE_QUERY = 0.1


def learned_order(factors: Factors, seen: Rows, rows: Rows, scores: Scores) -> tuple[Rows, Scores]:
    """Item rows (c,) and scores (c,) in the order of the published Stage 2; as they are where none is published.

    `rows` come by falling Stage 1 score, for a user who has seen the item rows `seen`, oldest first. A new item keeps
    its place and takes the score of the item before it: the model has learned from interactions, and it has none. So
    does every item of a user who has fewer than anybody from whom the model learned.
    """
    if factors.stage2 is None or len(seen) < factors.stage2.document.min_history:
        return rows, scores
    met = factors.popularity[rows] > 0
    if not met.any():
        return rows, scores
    table = feature_table(factors, seen, rows[met], scores[met], factors.stage2.features)
    learned = factors.stage2.score(table)
    best_first = np.argsort(-learned, kind="stable")
    if met.all():
        return rows[best_first], learned[best_first]
    ordered = rows.copy()
    ordered[met] = rows[met][best_first]
    before = np.maximum(np.cumsum(met) - 1, 0)
    return ordered, learned[best_first][before]


def query_order(rows: Rows, relevance: Scores) -> tuple[Rows, Scores]:
    """Item rows (c,) and scores (c,) of a request with a query: what it names first, and the user's taste among equals.

    `rows` come by falling taste, with `relevance` (c,) in 0..1 to the query. Taste counts by rank, so that one
    outlier cannot flatten it, and weighs TASTE_BESIDE_QUERY. Ties keep the order of taste.
    """
    by_rank = 1 - np.arange(len(rows)) / max(1, len(rows) - 1)
    scores = (relevance + TASTE_BESIDE_QUERY * by_rank) / (1 + TASTE_BESIDE_QUERY)
    best_first = np.argsort(-scores, kind="stable")
    return rows[best_first], scores[best_first]


def baseline_order(pool: Sequence[Candidate]) -> list[Ranked]:
    """The pool as it comes, with the stretched scores as final ones."""
    scores = stretched(np.array([candidate.score for candidate in pool], np.float64)).tolist()
    return [Ranked(candidate, score) for candidate, score in zip(pool, scores, strict=True)]


def stretched(scores: Scores) -> npt.NDArray[np.float64]:
    """Scores (c,) over their range, in 0..1, that the LLM's relevance can be blended with; all 1 where they are flat.

    Learned scores have no bound, and one outlier would flatten the others: the best and the worst count for no more
    than leaves those between them a third of the range (infra/decisions/0061).
    """
    exact = scores.astype(np.float64)
    if not len(exact):
        return exact
    worst, best = _bounded_ends(np.sort(exact))
    if not best > worst:
        return np.ones(len(exact))
    return (np.minimum(np.maximum(exact, worst), best) - worst) / (best - worst)


def _bounded_ends(rising: npt.NDArray[np.float64]) -> tuple[float, float]:
    worst, best = float(rising[0]), float(rising[-1])
    # of two or three scores no two lie between others, and equal ones cannot be flattened
    if len(rising) < 4:
        return worst, best
    second, last_but_one = float(rising[1]), float(rising[-2])
    between = last_but_one - second
    if between <= 0:
        return worst, best
    return max(worst, second - between), min(best, last_but_one + between)
