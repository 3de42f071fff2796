"""Who asks, as the sources of candidates see it."""

from dataclasses import dataclass

import numpy as np

from flagrank.candidates.fold_in import fold_in
from flagrank.domain import UserId, UserKind
from flagrank.model.arrays import Floats, Rows
from flagrank.model.factors import Factors
from flagrank.model.users import KnownUser


@dataclass(frozen=True, slots=True)
class User:
    """A user as the sources see one: `vector` (d,) float32, None when cold; `seen` item rows int64, oldest first."""

    kind: UserKind
    vector: Floats | None
    seen: Rows


def resolve_user(factors: Factors, user_id: UserId, history: Rows) -> User:
    """The user of a set that holds its users in memory; see `as_user`."""
    return as_user(factors, factors.users.find(user_id), history)


def as_user(factors: Factors, known: KnownUser | None, history: Rows) -> User:
    """The known user if there is one, else a fold-in of the history (item rows, oldest first), else cold."""
    if known is not None:
        return User(UserKind.KNOWN, known.vector, np.concatenate([known.seen.astype(np.int64), history]))
    if len(history):
        return User(UserKind.FOLD_IN, fold_in(factors, history), history)
    return User(UserKind.COLD, None, history)
