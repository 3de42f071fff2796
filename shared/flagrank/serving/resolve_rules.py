"""The operator's rules in the terms of one published set, worked out once for each set and not for each request."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from weakref import WeakKeyDictionary

import numpy as np

from flagrank.domain import ItemId
from flagrank.errors import InvalidRequest
from flagrank.model.arrays import Mask, Rows
from flagrank.model.attributes import Attributes
from flagrank.model.factors import Factors
from flagrank.model.filters import Filter
from flagrank.ranking.rules import RuleSet

# where a set has an attribute of this name, items with none of it left are never listed
STOCK = "stock"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class ResolvedRules:
    """Item rows (int64) that a rule forbids or puts first, and which items may be listed at all.

    `eligible` (n,) bool is None where every item is: those that are in stock and meet the rules on attributes.
    """

    blocked: Rows
    pinned: Rows
    eligible: Mask | None


class RulesBySet:
    """The rules as they were `given`, resolved over each set that serves."""

    def __init__(self, given: RuleSet) -> None:
        self.given = given
        # a set that no longer serves takes its rules along
        self._resolved: WeakKeyDictionary[Factors, ResolvedRules] = WeakKeyDictionary()

    def over(self, factors: Factors) -> ResolvedRules:
        """The rules in the terms of a set: worked out when first asked for, which is when the set is loaded."""
        resolved = self._resolved.get(factors)
        if resolved is None:
            resolved = self._resolved[factors] = resolve_rules(self.given, factors)
        return resolved


def resolve_rules(rules: RuleSet, factors: Factors) -> ResolvedRules:
    """The rules over one set. What the set does not know is left out and logged: it is no caller's error."""
    attributes = factors.attributes
    masks = [_in_stock(attributes), *(_mask(rule, attributes) for rule in rules.require)]
    excluded = [_mask(rule, attributes) for rule in rules.exclude]
    masks += [~mask for mask in excluded if mask is not None]
    known = [mask for mask in masks if mask is not None and not mask.all()]
    return ResolvedRules(
        blocked=_rows(factors, rules.block),
        pinned=_rows(factors, rules.pin),
        eligible=reduce(and_, known) if known else None,
    )


def _in_stock(attributes: Attributes) -> Mask | None:
    stock = attributes.get(STOCK)
    if stock is None:
        return None
    if stock.type == "text":
        logger.warning("the attribute stock is a text: no item is out of stock. Declare it as an integer")
        return None
    # nothing is known of an item whose stock is missing
    return ~stock.compared("<=", 0)


def _mask(rule: Filter, attributes: Attributes) -> Mask | None:
    try:
        return rule.mask(attributes)
    except InvalidRequest as error:
        logger.warning("the rule %r is ignored for this set: %s", rule.text, error.problem)
        return None


def _rows(factors: Factors, item_ids: Sequence[ItemId]) -> Rows:
    possible = [factors.parse_id("rules", item_id) for item_id in item_ids if factors.can_hold(item_id)]
    return np.array([row for row in factors.item_rows(possible) if row is not None], np.int64)
