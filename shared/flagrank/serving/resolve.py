"""A request in the terms of one published set: ids become rows, before anything else is done with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

import numpy as np

from flagrank.domain import ItemId, RecommendRequest, SimilarRequest, UserId
from flagrank.model.arrays import Mask, Rows
from flagrank.model.factors import Factors
from flagrank.model.filters import parse_filter
from flagrank.serving.resolve_rules import ResolvedRules


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """The request's user id in the trained type, and its items as rows (int64) of the set.

    `excluded` are the items that the caller or a rule forbids, `pinned` those that a rule puts first. `eligible` (n,)
    bool is None where every item is. `ignored_ids` counts the ids that the set does not hold.
    """

    user_id: UserId
    history: Rows
    excluded: Rows
    pinned: Rows
    eligible: Mask | None
    ignored_ids: int
    unknown_category: str | None


def resolve(request: RecommendRequest, factors: Factors, rules: ResolvedRules) -> ResolvedRequest:
    """The request over one set; raises InvalidRequest, naming the field, for what the set cannot hold."""
    user_id = factors.parse_id("user_id", request.user_id)
    history, unknown_history = item_rows(factors, "history", request.history)
    excluded, unknown_excluded = item_rows(factors, "exclude", request.exclude)
    return ResolvedRequest(
        user_id=user_id,
        history=history,
        excluded=np.concatenate([excluded, rules.blocked]),
        pinned=rules.pinned,
        eligible=eligible_items(request, factors, rules),
        ignored_ids=unknown_history + unknown_excluded,
        unknown_category=_unknown(request.category, factors),
    )


def _unknown(category: str | None, factors: Factors) -> str | None:
    """A category that no item has; None for one that some have, and for none."""
    return category if category and category not in factors.catalog.categories else None


def item_rows(factors: Factors, field: str, item_ids: Sequence[ItemId]) -> tuple[Rows, int]:
    """The rows (int64) of the items that the set holds, and how many it does not; raises InvalidRequest."""
    rows = factors.item_rows([factors.parse_id(field, item_id) for item_id in item_ids])
    known = [row for row in rows if row is not None]
    return np.array(known, np.int64), len(rows) - len(known)


def eligible_items(request: RecommendRequest | SimilarRequest, factors: Factors, rules: ResolvedRules) -> Mask | None:
    """Which items the rules and the request's category and filter leave, (n,) bool; None for all.

    Raises InvalidRequest for a filter that is none, or that the set's attributes do not know.
    """
    masks = [] if rules.eligible is None else [rules.eligible]
    if request.category:
        masks.append(factors.catalog.in_category(request.category))
    if request.filter is not None:
        masks.append(parse_filter(request.filter).mask(factors.attributes))
    return reduce(and_, masks) if masks else None
