"""Training examples for Stage 2: what serving would have shown, and what the user went on to choose."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.domain import UserId
from flagrank.model.arrays import NO_ROWS, Mask
from flagrank.model.factors import Factors
from flagrank.model.features import FEATURES, feature_table
from flagrank.model.stage2 import SourceName, Table
from flagrank.offline.data.interactions import Interactions
from flagrank.offline.training.progress import Progress, silent
from flagrank.offline.training.workers import Workers

# a fold of more users teaches no more, and 200 candidates of each take 13 kB
MAX_USERS = 20_000
# a second of work, so that both cores finish together
CHUNK_USERS = 250


@dataclass(frozen=True, slots=True)
class Examples:
    """Candidates of many users, one after another.

    `table` (m, features) float32 with the columns `names`, `labels` (m,) int8: 1 for a held-out item; by user, (users,)
    int64: `sizes`, how many rows the user has, `histories`, of how many interactions those were made, and `held_out`,
    how many items were held out, among the candidates or not.
    """

    names: tuple[str, ...]
    table: Table
    labels: npt.NDArray[np.int8]
    sizes: npt.NDArray[np.int64]
    histories: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]

    def columns(self, names: tuple[str, ...]) -> "Examples":
        """The same examples with these features alone."""
        return replace(self, names=names, table=self.table[:, [self.names.index(name) for name in names]])

    def of_users(self, kept: Mask) -> "Examples":
        """The examples of the users in a mask (users,)."""
        rows = np.repeat(kept, self.sizes)
        by_user = (self.sizes[kept], self.histories[kept], self.held_out[kept])
        return Examples(self.names, self.table[rows], self.labels[rows], *by_user)


def collect(
    factors: Factors,
    held_out: Interactions,
    pool: int,
    sources: Sequence[SourceName] | None = None,
    workers: Workers | None = None,
    progress: Progress = silent,
) -> Examples:
    """The candidates of each user with held-out items, ALS's `pool` best and the sources', with serving's features.

    The sources are by default those of the set's own Stage 2. New items are left out, as in serving; of more than
    MAX_USERS users, so many are drawn, the same at each call. The result is the same for any number of `workers`;
    `progress` hears of the number of users done.
    """
    by_user = np.argsort(held_out.users, kind="stable")
    user_ids, starts = np.unique(held_out.users[by_user], return_index=True)
    ends = np.append(starts, len(by_user))[1:]
    drawn = np.sort(np.random.default_rng(0).permutation(len(user_ids))[:MAX_USERS])
    users = [(user_ids[place].item(), held_out.items[by_user[starts[place] : ends[place]]]) for place in drawn.tolist()]
    parts = [users[start : start + CHUNK_USERS] for start in range(0, len(users), CHUNK_USERS)]
    found = [_EMPTY]
    for part in (workers or Workers()).map(_examples, (factors, pool, sources), parts):
        found.append(part)
        progress("collecting examples", min(CHUNK_USERS * (len(found) - 1), len(users)), len(users))
    return joined(found)


def _examples(
    state: tuple[Factors, int, Sequence[SourceName] | None], users: Sequence[tuple[UserId, npt.NDArray[Any]]]
) -> Examples:
    factors, pool, sources = state
    return joined([_EMPTY, *(_of_user(factors, pool, sources, user_id, chosen) for user_id, chosen in users)])


def _of_user(
    factors: Factors, pool: int, sources: Sequence[SourceName] | None, user_id: UserId, chosen: npt.NDArray[Any]
) -> Examples:
    user = resolve_user(factors, user_id, NO_ROWS)
    if user.vector is None:
        return _EMPTY
    found = generate(factors, CandidateRequest(user, pool), sources)
    met = factors.popularity[found.rows] > 0
    if not met.any():
        return _EMPTY
    rows, scores = found.rows[met], found.taste[met]
    return Examples(
        FEATURES,
        feature_table(factors, user.seen, rows, scores),
        np.isin(factors.item_ids[rows], chosen).astype(np.int8),
        np.array([len(rows)]),
        np.array([len(user.seen)]),
        np.array([len(np.unique(chosen))]),
    )


def joined(parts: Iterable[Examples]) -> Examples:
    """Examples of several folds as one; they share their columns."""
    parts = list(parts)
    return Examples(
        parts[0].names,
        np.concatenate([part.table for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.histories for part in parts]),
        np.concatenate([part.held_out for part in parts]),
    )


_NOBODY = np.empty(0, np.int64)
_EMPTY = Examples(FEATURES, np.empty((0, len(FEATURES)), np.float32), _NOBODY.astype(np.int8), *[_NOBODY] * 3)
