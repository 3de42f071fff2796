"""The candidates of one request: every source is asked here, for serving, training and evaluation alike."""

from dataclasses import dataclass, field

import numpy as np

from flagrank.candidates.als import top_k
from flagrank.candidates.popular import most_popular
from flagrank.candidates.user import User
from flagrank.domain import Candidate
from flagrank.model.factors import NO_ROWS, Factors, Mask, Rows, Scores


@dataclass(frozen=True, slots=True)
class CandidateRequest:
    """What is asked of the sources: a user's `count` best items, and which items may be among them.

    `excluded` item rows (int64) never come, and neither does what the user has seen. `eligible` (n,) bool narrows the
    items to a category, say. `pinned` rows come in any case if they are open, beyond `count` if need be.
    """

    user: User
    count: int
    excluded: Rows = field(default_factory=lambda: NO_ROWS)
    eligible: Mask | None = None
    pinned: Rows = field(default_factory=lambda: NO_ROWS)

    @property
    def masked(self) -> Rows:
        """Every row that may not come."""
        return np.concatenate([self.user.seen, self.excluded])


def generate(factors: Factors, request: CandidateRequest) -> tuple[Rows, Scores]:
    """Item rows (c,) int64 with their Stage 1 scores (c,), best first; pins that were not found come last.

    A user with a vector gets what ALS finds. A cold user gets the most popular items.
    """
    user, masked = request.user, request.masked
    if user.vector is None:
        rows, scores = most_popular(factors, request.count, masked, request.eligible)
    else:
        rows, scores = top_k(factors, user.vector, request.count, masked, request.eligible)
    if not len(request.pinned):
        return rows, scores
    extra = _open_pins(request, rows, masked)
    extra_scores = factors.popularity[extra] if user.vector is None else factors.item_factors[extra] @ user.vector
    return np.concatenate([rows, extra]), np.concatenate([scores, extra_scores])


def as_candidates(factors: Factors, rows: Rows, scores: Scores) -> list[Candidate]:
    """The items of the rows (c,), ranked as they come, with these scores (c,)."""
    columns = (rows, factors.item_ids[rows], scores, factors.popularity[rows] == 0)
    found = []
    for rank, (row, item_id, score, is_new) in enumerate(zip(*(each.tolist() for each in columns), strict=True)):
        item = factors.catalog[row]
        found.append(Candidate(row, item_id, score, rank, item.title, item.category, item.text, is_new))
    return found


def _open_pins(request: CandidateRequest, found: Rows, masked: Rows) -> Rows:
    closed = {*found.tolist(), *masked.tolist()}
    eligible = request.eligible
    pins = request.pinned.tolist()
    return np.array([row for row in pins if row not in closed and (eligible is None or eligible[row])], np.int64)
