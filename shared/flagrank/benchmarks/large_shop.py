"""A made-up shop of any size: skewed popularity, tastes, sessions and texts, drawn in bulk."""

import numpy as np

from flagrank.domain import ItemId
from flagrank.offline.data.interactions import Dataset, Interactions, Item

TOPICS = 100
POPULARITY_EXPONENT = 1.0
# pairs that are drawn twice count once
DRAWN = 1.7
# four interactions of five lie in the user's own topics
OWN_SHARE = 0.8
OWN_TOPICS = 3
SESSION = 8
WORDS = 5000
TITLE_WORDS = 6


def large_shop(users: int, items: int, interactions: int, seed: int = 1) -> Dataset:
    """About so many interactions (repeated pairs are dropped), with item ids 0..items - 1 over TOPICS categories.

    An item's fame within its topic falls with its rank in the shop to the power POPULARITY_EXPONENT. Topics are
    unequal, and a user's activity is log-normal. A session is SESSION interactions minutes apart in one topic, and
    sessions are days apart.
    """
    rng = np.random.default_rng(seed)
    rank = rng.permutation(items)
    size = 1 / (np.arange(TOPICS) + 5.0)
    size /= size.sum()
    topic = rng.choice(TOPICS, items, p=size)
    activity = rng.lognormal(0, 0.8, users)
    counts = np.maximum(1, (activity / activity.sum() * interactions * DRAWN).round().astype(np.int64))
    owner = np.repeat(np.arange(users), counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    session = np.cumsum(place % SESSION == 0) - 1
    tastes = rng.choice(TOPICS, (users, OWN_TOPICS), p=size)
    first = np.flatnonzero(place % SESSION == 0)
    own = tastes[owner[first], rng.integers(OWN_TOPICS, size=len(first))]
    wanted = np.where(rng.random(len(first)) < OWN_SHARE, own, rng.choice(TOPICS, len(first), p=size))[session]
    taken = np.empty(len(owner), np.int64)
    for each in range(TOPICS):
        shelf = np.flatnonzero(topic == each)
        fame = np.cumsum((rank[shelf] + 5.0) ** -POPULARITY_EXPONENT)
        here = np.flatnonzero(wanted == each)
        taken[here] = shelf[np.searchsorted(fame, rng.random(len(here)) * fame[-1])]
    day_s = 86_400
    times_s = 1_700_000_000 + (place // SESSION) * day_s + rng.integers(day_s // 2, size=len(first))[session]
    times_s += (place % SESSION) * 120
    _, once = np.unique(owner * items + taken, return_index=True)
    kept = np.sort(rng.permutation(once)[:interactions])
    rows = Interactions(owner[kept], taken[kept], np.ones(len(kept), np.float32), times_s[kept])
    words = np.char.add("word", rng.zipf(1.3, size=(items, TITLE_WORDS)).clip(max=WORDS).astype(np.str_))
    texts: dict[ItemId, Item] = {
        item: Item(" ".join(title[:3]), f"topic {its_topic}", " ".join(title[3:]))
        for item, (title, its_topic) in enumerate(zip(words.tolist(), topic.tolist(), strict=True))
    }
    return Dataset(f"large shop {users} x {items}", rows, texts)
