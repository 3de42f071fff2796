"""What a dataset holds, and what training on it is likely to take."""

from dataclasses import dataclass

import numpy as np

from flagrank.offline.data.interactions import Dataset

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a dataset's training interactions; `density` is the share of all pairs that are met.

    `duplicates` are rows whose pair comes again later. `first_s` and `last_s` are None without times.
    """

    name: str
    rows: int
    users: int
    items: int
    items_with_text: int
    duplicates: int
    density: float
    first_s: int | None
    last_s: int | None
    held_out: int
    attributes: tuple[str, ...]
    notes: tuple[str, ...]


def summarised(dataset: Dataset) -> Summary:
    """The summary of a dataset."""
    rows = dataset.interactions
    users, items = len(np.unique(rows.users)), len(np.unique(rows.items))
    pairs = len(np.unique(rows.pairs()))
    times = (int(rows.timestamps.min()), int(rows.timestamps.max())) if dataset.timed and len(rows) else (None, None)
    return Summary(
        name=dataset.name,
        rows=len(rows),
        users=users,
        items=items,
        items_with_text=len(dataset.items),
        duplicates=len(rows) - pairs,
        density=pairs / (users * items) if users and items else 0.0,
        first_s=times[0],
        last_s=times[1],
        held_out=len(dataset.held_out) if dataset.held_out is not None else 0,
        attributes=tuple(dataset.attributes),
        notes=dataset.notes,
    )
