"""Who asks, as the sources of candidates see it."""

from dataclasses import dataclass

import numpy as np

from flagrank.candidates.fold_in import fold_in
from flagrank.domain import UserId, UserKind
from flagrank.model.arrays import Floats, Rows
from flagrank.model.factors import Factors


@dataclass(frozen=True, slots=True)
class User:
    """A user as the sources see one: `vector` (d,) float32, None when cold; `seen` item rows int64, oldest first."""

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
