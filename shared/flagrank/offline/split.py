"""Holding out what a model must not see."""

from dataclasses import replace

import numpy as np

from flagrank.offline.interactions import Dataset

HELD_OUT_PER_USER = 10


def held_out_last(dataset: Dataset, per_user: int = HELD_OUT_PER_USER) -> Dataset:
    """The dataset with each user's last `per_user` interactions held out; a user with fewer than twice that keeps all.

    Temporal, as serving is: a random split would let a model learn from what came after.
    """
    interactions = dataset.interactions.latest()
    _, user = np.unique(interactions.users, return_inverse=True)
    counts = np.bincount(user)
    # rows are in time order, so a stable sort by user leaves each user's run oldest first
    order = np.argsort(user, kind="stable")
    ends = np.cumsum(counts)
    place_from_end = np.empty(len(user), np.int64)
    place_from_end[order] = np.repeat(ends, counts) - np.arange(len(user)) - 1
    held = (place_from_end < per_user) & (counts[user] >= 2 * per_user)
    return replace(dataset, interactions=interactions.select(~held), held_out=interactions.select(held))
