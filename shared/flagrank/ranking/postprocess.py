"""What of a pool is listed: the operator's rules and diversity, alike in every arm."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flagrank.domain import Ranked
from flagrank.model.arrays import Floats, Mask, Rows
from flagrank.model.factors import Factors
from flagrank.ranking.diversity import mmr
from flagrank.ranking.rules import RuleSet, capped, pinned, without

# the largest top_k and top_m: both arms rank the same pool. Rules that move items need more to choose from
POOL_SIZE = 100
POOL_SIZE_FOR_RULES = 200


@dataclass(frozen=True, slots=True)
class PostProcessor:
    """A request's list-making: item rows that come first, `pins`, and rows that never come.

    Only `eligible` items (n,) bool come, pins included; None where every item is.
    """

    rules: RuleSet
    factors: Factors
    pins: Rows
    never: frozenset[int]
    top_k: int
    eligible: Mask | None = None

    def apply(self, pool: Sequence[Ranked]) -> list[Ranked]:
        """The list, at most `top_k` long."""
        rules, pins = self.rules, self.pins.tolist()
        # what moves no item reads no more of the pool than is listed
        entries = self._open(pool)
        if rules.mmr_lambda < 1:
            entries = mmr(list(entries), self._space(), rules.mmr_lambda, self.top_k)
        if pins:
            entries = pinned(list(entries), pins)
        return capped(entries, rules.category_cap, self.top_k, pins, rules.new_item_share)

    def _open(self, pool: Sequence[Ranked]) -> Iterable[Ranked]:
        allowed, eligible = without(pool, self.never), self.eligible
        return allowed if eligible is None else (entry for entry in allowed if eligible[entry.candidate.row])

    def _space(self) -> Floats:
        if self.rules.mmr_space == "embeddings" and self.factors.item_embeddings is not None:
            return self.factors.item_embeddings
        return self.factors.item_factors


def pool_size(rules: RuleSet) -> int:
    """How many candidates these rules choose from."""
    moves_items = rules.category_cap > 0 or rules.mmr_lambda < 1
    return POOL_SIZE_FOR_RULES if moves_items else POOL_SIZE
