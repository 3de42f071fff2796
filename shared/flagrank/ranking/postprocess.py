"""What of a pool is listed: the operator's rules and diversity, alike in every arm."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flagrank.domain import ItemId, Ranked
from flagrank.model.factors import Factors, Floats, Rows
from flagrank.ranking.diversity import mmr
from flagrank.ranking.rules import RuleSet, capped, pinned, without

# the largest top_k and top_m: both arms rank the same pool. Rules that move items need more to choose from
POOL_SIZE = 100
POOL_SIZE_FOR_RULES = 200


@dataclass(frozen=True, slots=True)
class PostProcessor:
    """A request's list-making: item rows that come first, `pins`, and rows that never come."""

    rules: RuleSet
    factors: Factors
    pins: Rows
    never: frozenset[int]
    top_k: int

    def apply(self, pool: Sequence[Ranked]) -> list[Ranked]:
        """The list, at most `top_k` long."""
        rules, pins = self.rules, self.pins.tolist()
        diverse = mmr(without(pool, self.never), self._space(), rules.mmr_lambda, self.top_k)
        return capped(pinned(diverse, pins), rules.category_cap, self.top_k, pins, rules.new_item_share)[: self.top_k]

    def _space(self) -> Floats:
        if self.rules.mmr_space == "embeddings" and self.factors.item_embeddings is not None:
            return self.factors.item_embeddings
        return self.factors.item_factors


def pool_size(rules: RuleSet) -> int:
    """How many candidates these rules choose from."""
    moves_items = rules.category_cap > 0 or rules.mmr_lambda < 1
    return POOL_SIZE_FOR_RULES if moves_items else POOL_SIZE


def item_rows(factors: Factors, field: str, item_ids: Sequence[ItemId]) -> tuple[Rows, int]:
    """The rows (int64) of the known item ids, in order, and how many were unknown; raises InvalidRequest."""
    rows = factors.item_rows([factors.parse_id(field, item_id) for item_id in item_ids])
    known = [row for row in rows if row is not None]
    return np.array(known, np.int64), len(rows) - len(known)


def rule_rows(factors: Factors, item_ids: Sequence[ItemId]) -> Rows:
    """The rows (int64) of an operator's item ids; one that this catalogue cannot hold is left out."""
    possible = [item_id for item_id in item_ids if factors.can_hold(item_id)]
    return item_rows(factors, "rules", possible)[0]
