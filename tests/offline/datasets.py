"""Small datasets with a known answer."""

from dataclasses import replace
from functools import cache

import numpy as np

from flagrank.offline.data import synthetic
from flagrank.offline.data.interactions import Dataset, Interactions
from flagrank.offline.training.als import AlsParameters

QUICK = AlsParameters(factors=6, regularization=0.5, confidence_scale=8.0, iterations=8)

# a checkerboard of size n determines two directions alone, one a colour: its spectrum is n / 2 - 1 twice and -1 for all
# the rest, so where further factors point is decided by the seed and by the processor's rounding
BOARD = replace(QUICK, factors=2)


def as_dataset(rows: list[tuple[int, int, int]], name: str = "rows") -> Dataset:
    """Rows of user, item and time as interactions of value 1."""
    users, items, timestamps = np.array(rows, np.int64).T
    return Dataset(name, Interactions(users, items, np.ones(len(rows), np.float32), timestamps), {})


def checkerboard(size: int) -> Dataset:
    """Even users took all even items and odd users all odd ones, but the one with their own number."""
    rows = [
        (user, item, 100 + item)
        for user in range(size)
        for item in range(size)
        if user != item and user % 2 == item % 2
    ]
    return as_dataset(rows, "checkerboard")


@cache
def whole_shop() -> Dataset:
    """The synthetic shop, generated once for all tests of a process."""
    return synthetic.generate()


def shop(topics: tuple[str, ...] = ("audio", "kitchen"), users: int | None = None) -> Dataset:
    """A corner of the synthetic shop: some of its topics, and the first users who bought enough there to be tested."""
    whole = whole_shop()
    items = {key: item for key, item in whole.items.items() if item.category in topics}
    rows = whole.interactions.select(np.isin(whole.interactions.items, list(items)))
    ids, counts = np.unique(rows.users, return_counts=True)
    return replace(whole, interactions=rows.select(np.isin(rows.users, ids[counts >= 24][:users])), items=items)
