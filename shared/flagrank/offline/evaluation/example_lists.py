"""The lists of a few users before and after Stage 2, for people to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flagrank.candidates.user import resolve_user
from flagrank.domain import ItemId, Recommendation
from flagrank.model.arrays import NO_ROWS
from flagrank.offline.evaluation.stage_report import Trained

USERS, LENGTH, KNOWN = 5, 10, 5


def example_lists(trained: Trained) -> list[dict[str, Any]]:
    """For USERS users, evenly spread over the test users by activity: what is known, and both lists with the hits."""
    users = trained.users
    activity = [len(resolve_user(trained.factors, user_id, NO_ROWS).seen) for user_id in users.ids]
    by_activity = np.argsort(activity, kind="stable")
    places = by_activity[np.linspace(0, len(by_activity) - 1, min(USERS, len(by_activity))).round().astype(int)]
    return [_of_user(trained, int(place)) for place in places]


def _of_user(trained: Trained, place: int) -> dict[str, Any]:
    user_id, relevant = trained.users.ids[place], trained.users.relevant[place]
    rows = trained.dataset.interactions
    own = rows.select(rows.users == user_id).latest()
    known: list[ItemId] = own.items[-KNOWN:].tolist()
    return {
        "user_id": user_id,
        "interactions": len(own),
        "known": [_title(trained, item_id) for item_id in reversed(known)],
        "before": _listed(trained, trained.stage1[place], relevant),
        "after": _listed(trained, trained.stage2[place], relevant),
    }


def _listed(trained: Trained, answer: Recommendation, relevant: set[ItemId]) -> list[dict[str, Any]]:
    ids: Sequence[ItemId] = [entry.candidate.item_id for entry in answer.items[:LENGTH]]
    return [{"title": _title(trained, item_id), "hit": item_id in relevant} for item_id in ids]


def _title(trained: Trained, item_id: ItemId) -> str:
    return trained.dataset.item(item_id).title
