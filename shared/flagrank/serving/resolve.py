"""A request in the terms of one published set: ids become rows, before anything else is done with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flagrank.domain import ItemId, RecommendRequest, UserId
from flagrank.model.arrays import Mask, Rows
from flagrank.model.factors import Factors
from flagrank.ranking.rules import RuleSet


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


def resolve(request: RecommendRequest, factors: Factors, rules: RuleSet) -> ResolvedRequest:
    """The request over one set; raises InvalidRequest, naming the field, for an id that the set cannot hold."""
    user_id = factors.parse_id("user_id", request.user_id)
    history, unknown_history = _item_rows(factors, "history", request.history)
    excluded, unknown_excluded = _item_rows(factors, "exclude", request.exclude)
    return ResolvedRequest(
        user_id=user_id,
        history=history,
        excluded=np.concatenate([excluded, _rule_rows(factors, rules.block)]),
        pinned=_rule_rows(factors, rules.pin),
        eligible=factors.catalog.in_category(request.category) if request.category else None,
        ignored_ids=unknown_history + unknown_excluded,
    )


def _item_rows(factors: Factors, field: str, item_ids: Sequence[ItemId]) -> tuple[Rows, int]:
    rows = factors.item_rows([factors.parse_id(field, item_id) for item_id in item_ids])
    known = [row for row in rows if row is not None]
    return np.array(known, np.int64), len(rows) - len(known)


def _rule_rows(factors: Factors, item_ids: Sequence[ItemId]) -> Rows:
    # an operator's typo is no caller's error: an id that this set cannot hold is left out
    possible = [item_id for item_id in item_ids if factors.can_hold(item_id)]
    return _item_rows(factors, "rules", possible)[0]
