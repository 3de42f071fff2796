"""Items like one item: no user, no arm, and so no flag, no LLM and no part in the rollout's figures."""

import numpy as np

from flagrank.candidates.similar_items import similar_items
from flagrank.domain import SimilarItems, SimilarRequest
from flagrank.errors import UnknownItem
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors
from flagrank.ranking.pool import Pool
from flagrank.ranking.postprocess import PostProcessor, pool_size
from flagrank.ranking.rules import RuleSet
from flagrank.serving.resolve import eligible_items, item_rows
from flagrank.serving.resolve_rules import ResolvedRules


def find_similar(request: SimilarRequest, factors: Factors, rules: RuleSet, resolved: ResolvedRules) -> SimilarItems:
    """The answer to one request, under the rules and what they resolve to; pins are for users and play no part.

    Raises UnknownItem, and InvalidRequest naming the field.
    """
    item_id = factors.parse_id("item_id", request.item_id)
    (row,) = factors.item_rows([item_id])
    if row is None:
        raise UnknownItem(f"no item {item_id!r} in version {factors.version}")
    excluded, _ = item_rows(factors, "exclude", request.exclude)
    masked = np.concatenate([excluded, resolved.blocked])
    eligible = eligible_items(request, factors, resolved)
    rows, scores = similar_items(factors, row, pool_size(rules), masked, eligible)
    pool = Pool(factors, rows, scores)
    never = frozenset([row, *masked.tolist()])
    items = PostProcessor(rules, factors, NO_ROWS, never, request.top_k, eligible).apply(pool)
    return SimilarItems(item_id, tuple(items), factors.version)
