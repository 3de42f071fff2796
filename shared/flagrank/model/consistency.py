"""What holds between the parts of a published set, whatever its checksums say."""

from collections.abc import Iterable

import numpy as np

from flagrank.model import lexical
from flagrank.model.factors import Factors
from flagrank.model.features import GROUPS

# the groups of features that are computed from an optional part of the set
NEIGHBOUR_GROUPS = ("ease",)
ITEM_GROUPS = ("session", "recency")
EMBEDDING_GROUPS = ("text",)


def broken_rules(factors: Factors) -> list[str]:
    """The rules that a set breaks, in words; serving it cannot fail where there are none."""
    items, dimension = factors.item_factors.shape
    users = len(factors.user_ids)
    indptr, indices = factors.seen_indptr, factors.seen_indices
    rules = {
        "there are items": items > 0,
        "one id, popularity and catalogue line an item": (
            len(factors.item_ids) == len(factors.popularity) == len(factors.catalog) == items
        ),
        "one row of factors a user": factors.user_factors.shape == (users, dimension),
        "a square Gram matrix": factors.item_gram.shape == (dimension, dimension),
        "one id type": factors.item_ids.dtype.kind == factors.user_ids.dtype.kind
        and factors.item_ids.dtype.kind in "iU",
        "finite factors": all(np.isfinite(a).all() for a in (factors.item_factors, factors.user_factors)),
        "items by falling norm": bool((np.diff(factors.item_norms) <= 1e-6 * factors.item_norms[:-1]).all()),
        "users by rising id": bool((factors.user_ids[:-1] < factors.user_ids[1:]).all()),
        "seen items in range": (
            len(indptr) == users + 1
            and int(indptr[0]) == 0
            and int(indptr[-1]) == len(indices)
            and bool((np.diff(indptr) >= 0).all())
            and bool(((indices >= 0) & (indices < items)).all())
        ),
    }
    neighbours, weights, embeddings = factors.neighbours, factors.item_weights, factors.item_embeddings
    if neighbours is not None:
        rules |= {
            "as many weights as neighbours": (
                len(neighbours.rows) == items
                and neighbours.rows.shape == neighbours.ease.shape == neighbours.session.shape
            ),
            "neighbours in range": bool(((neighbours.rows >= 0) & (neighbours.rows < items)).all()),
            "finite weights": all(np.isfinite(a).all() for a in (neighbours.ease, neighbours.session)),
        }
    if weights is not None:
        rules["one finite weight for every two items"] = weights.shape == (items, items) and bool(
            np.isfinite(weights).all()
        )
    if embeddings is not None:
        rules["one finite embedding an item"] = len(embeddings) == items and bool(np.isfinite(embeddings).all())
    for name, attribute in factors.attributes.items():
        problem = attribute.problem(items)
        rules[f"{problem} as attribute {name}"] = problem is None
    if factors.stage2 is not None:
        read = set(factors.stage2.document.features)
        rules |= {
            "neighbours, which Stage 2 reads": neighbours is not None or not read & _features(NEIGHBOUR_GROUPS),
            "item weights, which Stage 2 reads": (
                neighbours is not None or weights is not None or not read & _features(ITEM_GROUPS)
            ),
            "embeddings, which Stage 2 reads": embeddings is not None or not read & _features(EMBEDDING_GROUPS),
        }
    broken = [rule for rule, holds in rules.items() if not holds]
    return broken if factors.lexical is None else broken + lexical.broken_rules(factors.lexical, items)


def _features(groups: Iterable[str]) -> set[str]:
    return {name for group in groups for name in GROUPS[group]}
