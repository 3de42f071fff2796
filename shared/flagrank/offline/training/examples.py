"""Training examples for Stage 2: what serving would have shown, and what the user went on to choose."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors
from flagrank.model.features import FEATURES, feature_table
from flagrank.model.stage2 import SourceName, Table
from flagrank.offline.data.interactions import Interactions

# a fold of more users teaches no more, and 200 candidates of each take 13 kB
MAX_USERS = 20_000


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


def collect(
    factors: Factors, held_out: Interactions, pool: int, sources: Sequence[SourceName] | None = None
) -> Examples:
    """The candidates of each user with held-out items, ALS's `pool` best and the sources', with serving's features.

    The sources are by default those of the set's own Stage 2. New items are left out, as in serving; of more than
    MAX_USERS users, so many are drawn, the same at each call.
    """
    by_user = np.argsort(held_out.users, kind="stable")
    user_ids, starts = np.unique(held_out.users[by_user], return_index=True)
    ends = np.append(starts, len(by_user))[1:]
    drawn = np.sort(np.random.default_rng(0).permutation(len(user_ids))[:MAX_USERS])
    tables, labels = [np.empty((0, len(FEATURES)), np.float32)], [np.empty(0, np.int8)]
    sizes, histories, counts = [], [], []
    for place in drawn.tolist():
        user = resolve_user(factors, user_ids[place].item(), NO_ROWS)
        if user.vector is None:
            continue
        found = generate(factors, CandidateRequest(user, pool), sources)
        rows, scores = found.rows, found.taste
        met = factors.popularity[rows] > 0
        if not met.any():
            continue
        rows, scores = rows[met], scores[met]
        chosen = held_out.items[by_user[starts[place] : ends[place]]]
        tables.append(feature_table(factors, user.seen, rows, scores))
        labels.append(np.isin(factors.item_ids[rows], chosen).astype(np.int8))
        sizes.append(len(rows))
        histories.append(len(user.seen))
        counts.append(len(np.unique(chosen)))
    return Examples(
        FEATURES,
        np.concatenate(tables),
        np.concatenate(labels),
        np.array(sizes, np.int64),
        np.array(histories, np.int64),
        np.array(counts, np.int64),
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
