"""What a source of candidates is asked, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from flagrank.candidates.user import User
from flagrank.model.arrays import NO_ROWS, Mask, Rows, Scores
from flagrank.model.factors import Factors

# best first: item rows (c,) int64, and the source's own scores of them (c,)
type Found = tuple[Rows, Scores]

NOTHING: Found = (NO_ROWS, np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a query, as the published texts spell it. `weight` is 1 for a word that the caller wrote."""

    word: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class CandidateRequest:
    """What is asked of the sources: the `count` best items for a user, and which items may be among them.

    `terms` are the words of a query, empty without one. `excluded` item rows (int64) never come, and neither does what
    the user has seen. `eligible` (n,) bool narrows the items to a category, say. `pinned` rows come in any case if they
    are open, beyond `count` if need be.
    """

    user: User
    count: int
    terms: Sequence[Term] = ()
    excluded: Rows = field(default_factory=lambda: NO_ROWS)
    eligible: Mask | None = None
    pinned: Rows = field(default_factory=lambda: NO_ROWS)
    masked: Rows = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "masked", np.concatenate([self.user.seen, self.excluded]))


class Source(Protocol):
    """A way to find candidates. It finds nothing for a request that is not for it."""

    def __call__(self, factors: Factors, request: CandidateRequest, count: int) -> Found:
        """The source's `count` best open items, ties by row."""
