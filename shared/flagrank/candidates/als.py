"""Stage 1: the user's vector, and the exact top-k by inner product with seen items masked."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flagrank.domain import Candidate, UserId, UserKind
from flagrank.model.factors import Factors, Floats, Rows, Scores

FIRST_BLOCK = 4096

# how many interactions of a new user's own the mean user is worth (chosen on folds, infra/decisions/0015)
PRIOR_INTERACTIONS = 2.0

# float32 products round: the bound is loosened by more than d * 2**-24 can add up to, so no true item is cut
BOUND_SLACK = 1e-4

NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class User:
    """A user as retrieval sees one: `vector` (d,) float32, None when cold; `seen` item rows int64, oldest first."""

    kind: UserKind
    vector: Floats | None
    seen: Rows


def resolve_user(factors: Factors, user_id: UserId, history: Rows) -> User:
    """The known row if there is one, else a fold-in of the history (item rows, oldest first), else cold."""
    row = factors.user_row(user_id)
    if row is not None:
        seen = np.concatenate([factors.seen(row).astype(np.int64), history])
        return User(UserKind.KNOWN, factors.user_factors[row], seen)
    if len(history):
        return User(UserKind.FOLD_IN, fold_in(factors, history), history)
    return User(UserKind.COLD, None, history)


def fold_in(factors: Factors, history: Rows, prior_interactions: float = PRIOR_INTERACTIONS) -> Floats:
    """The vector (d,) float32 of a user who interacted with these item rows: ALS's own half step, with a prior.

    Solves (Y'Y + λI) (x + κ (x - μ)) + (c - 1) H'H x = c Σh for the history's n factors H, one interaction's confidence
    c and the mean user μ, where κ is `prior_interactions` / n; with none it is equation 4 of Hu, Koren, Volinsky 2008,
    "Collaborative Filtering for Implicit Feedback Datasets". ALS takes every unmet item for a dislike, which drowns
    two or three interactions; here an unmet item counts for what the mean user thinks of it (infra/decisions/0015).
    """
    items = factors.item_factors[np.unique(history)].astype(np.float64)
    confidence = factors.fold_in.confidence
    everything = factors.item_gram + factors.fold_in.regularization * np.eye(items.shape[1])
    prior = prior_interactions / len(items)
    system = (1 + prior) * everything + (confidence - 1) * (items.T @ items)
    target = confidence * items.sum(axis=0) + prior * (everything @ factors.mean_user)
    return np.linalg.solve(system, target).astype(np.float32)


def top_k(
    factors: Factors, user_vector: Floats, k: int, masked: Rows, eligible: npt.NDArray[np.bool_] | None = None
) -> tuple[Rows, Floats]:
    """The k best item rows (int64) and their scores (float32), best first, ties by row; fewer if fewer are left.

    Exact: items lie by falling norm, so by Cauchy-Schwarz nothing from row r on can beat |u| |v_r|, and the scan
    stops once the k-th best does. `masked` rows, in any order, and rows not `eligible` (n,) are left out.
    """
    masked = np.sort(masked)
    user_norm = float(np.linalg.norm(user_vector)) * (1 + BOUND_SLACK)
    rows, scores = np.empty(0, np.int64), np.empty(0, np.float32)
    start, size = 0, max(FIRST_BLOCK, 2 * k)
    while start < len(factors.item_factors):
        full = len(scores) == k
        if full and user_norm * factors.item_norms[start] <= scores[-1]:
            break
        block = factors.item_factors[start : start + size] @ user_vector
        first, last = np.searchsorted(masked, (start, start + len(block)))
        block[masked[first:last] - start] = -np.inf
        if eligible is not None:
            block[~eligible[start : start + len(block)]] = -np.inf
        better = np.flatnonzero(block > (scores[-1] if full else -np.inf))
        rows, scores = _best(k, np.concatenate([rows, better + start]), np.concatenate([scores, block[better]]))
        start += len(block)
        size *= 2
    return rows, scores


def retrieve(
    factors: Factors,
    user: User,
    k: int,
    excluded: Rows,
    eligible: npt.NDArray[np.bool_] | None = None,
    always: Rows = NO_ROWS,
) -> tuple[Rows, Scores]:
    """The user's k best item rows with their scores, then those of `always` (pins) that are open but not among them.

    A cold user gets the most popular items; the requested category, if any, is the segment.
    """
    masked = np.concatenate([user.seen, excluded])
    if user.vector is None:
        rows, scores = _most_popular(factors, k, masked, eligible)
    else:
        rows, scores = top_k(factors, user.vector, k, masked, eligible)
    if not len(always):
        return rows, scores
    closed = {*rows.tolist(), *masked.tolist()}
    extra = np.array(
        [row for row in always.tolist() if row not in closed and (eligible is None or eligible[row])], np.int64
    )
    extra_scores = factors.popularity[extra] if user.vector is None else factors.item_factors[extra] @ user.vector
    return np.concatenate([rows, extra]), np.concatenate([scores, extra_scores])


def candidates(factors: Factors, rows: Rows, scores: Scores) -> list[Candidate]:
    """The items of the rows (c,), ranked as they come, with these scores (c,)."""
    columns = (rows, factors.item_ids[rows], scores, factors.popularity[rows] == 0)
    found = []
    for rank, (row, item_id, score, is_new) in enumerate(zip(*(each.tolist() for each in columns), strict=True)):
        item = factors.catalog[row]
        found.append(Candidate(row, item_id, score, rank, item.title, item.category, item.text, is_new))
    return found


def _most_popular(
    factors: Factors, k: int, masked: Rows, eligible: npt.NDArray[np.bool_] | None
) -> tuple[Rows, Floats]:
    is_open = np.ones(len(factors.popularity), bool) if eligible is None else eligible.copy()
    is_open[masked] = False
    rows = factors.popular_rows[is_open[factors.popular_rows]][:k]
    return rows, factors.popularity[rows]


def _best(k: int, rows: Rows, scores: Floats) -> tuple[Rows, Floats]:
    if len(scores) > k:
        # all that tie with the k-th stay until the sort below has decided between them by row
        keep = scores >= np.partition(scores, -k)[-k]
        rows, scores = rows[keep], scores[keep]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
