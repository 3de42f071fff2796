"""Splits: the interactions that are held out of training."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from flagrank.offline.data.interactions import Dataset, Interactions

HELD_OUT_PER_USER = 10


def held_out_last(dataset: Dataset, per_user: int = HELD_OUT_PER_USER) -> Dataset:
    """The dataset with each user's last `per_user` interactions held out; a user with fewer than twice that keeps all.

    The split is temporal, as serving is: a random one would let a model learn from later interactions.
    """
    interactions = dataset.interactions.latest()
    return _held_out(dataset, interactions, interactions.timestamps, per_user)


def held_out_at_random(dataset: Dataset, seed: int, per_user: int = HELD_OUT_PER_USER) -> Dataset:
    """The dataset with `per_user` of each user's interactions held out, drawn anew for each seed.

    A user with fewer than twice that keeps all. For sources whose own test set is such a draw: validation should
    measure what the test measures.
    """
    interactions = dataset.interactions.latest()
    drawn = np.random.default_rng(seed).permutation(len(interactions))
    return _held_out(dataset, interactions, drawn, per_user)


def split_at_random(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The dataset with a `share` of all its interactions held out, whosever they are; some users may lose them all."""
    interactions = dataset.interactions.latest()
    held = np.zeros(len(interactions), bool)
    held[np.random.default_rng(seed).permutation(len(interactions))[: round(share * len(interactions))]] = True
    kept, held_out = interactions.select(~held), interactions.select(held)
    return replace(dataset, interactions=kept, held_out=held_out, random_split=True)


def folds(dataset: Dataset, count: int, seed: int) -> Iterator[Dataset]:
    """`count` ways to hold out a part of the dataset's training interactions, as its own test set was held out.

    Random draws for a random test set. Otherwise rolling origins (Tashman 2000): each fold ends where the one before
    began to hold out, so that nothing is ever learned from what came later.
    """
    own = replace(dataset, held_out=None)
    for fold in range(count):
        if dataset.random_split:
            yield held_out_at_random(own, seed + fold)
        else:
            own = held_out_last(own)
            yield own


def _held_out(dataset: Dataset, interactions: Interactions, order: npt.NDArray[np.int64], per_user: int) -> Dataset:
    _, user = np.unique(interactions.users, return_inverse=True)
    counts = np.bincount(user)
    by_user = np.lexsort((order, user))
    place_from_end = np.empty(len(user), np.int64)
    place_from_end[by_user] = np.repeat(np.cumsum(counts), counts) - np.arange(len(user)) - 1
    held = (place_from_end < per_user) & (counts[user] >= 2 * per_user)
    return replace(dataset, interactions=interactions.select(~held), held_out=interactions.select(held))
