"""What holds between the parts of a published set, whatever its checksums say."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.model import lexical
from flagrank.model.factors import Factors
from flagrank.model.features import GROUPS

# the groups of features that are computed from an optional part of the set
NEIGHBOUR_GROUPS = ("ease",)
ITEM_GROUPS = ("session", "recency")
EMBEDDING_GROUPS = ("text",)

# a product of two, and sums of those over any number of factors, are finite in float32
LARGEST = 1e15
LARGEST_SUM = 1e35
LARGEST_PARAMETER = 1e6


# hostile numbers overflow on the way to being refused
@np.errstate(all="ignore")
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
        "finite factors": all(_is_within(a, -LARGEST, LARGEST) for a in (factors.item_factors, factors.user_factors)),
        "a finite Gram matrix": _is_within(factors.item_gram, -LARGEST_SUM, LARGEST_SUM),
        "finite popularities of 0 or more": _is_within(factors.popularity, 0, LARGEST),
        "fold-in parameters from 0 to a million": (
            0 <= factors.fold_in.regularization <= LARGEST_PARAMETER
            and 0 <= factors.fold_in.confidence <= LARGEST_PARAMETER
        ),
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
    rules |= _rules_of_optional_parts(factors)
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        return broken
    ids = factors.item_ids[factors.item_order]
    if (ids[1:] == ids[:-1]).any():
        broken.append("every id once")
    broken += factors.catalog.broken_rules(factors.item_ids)
    return broken if factors.lexical is None else broken + lexical.broken_rules(factors.lexical, items)


def _rules_of_optional_parts(factors: Factors) -> dict[str, bool]:
    items, rules = len(factors.item_factors), dict[str, bool]()
    neighbours, weights, embeddings = factors.neighbours, factors.item_weights, factors.item_embeddings
    if neighbours is not None:
        rules |= {
            "as many weights as neighbours": (
                len(neighbours.rows) == items
                and neighbours.rows.shape == neighbours.ease.shape == neighbours.session.shape
            ),
            "neighbours in range": bool(((neighbours.rows >= 0) & (neighbours.rows < items)).all()),
            "finite weights": all(_is_within(a, -LARGEST, LARGEST) for a in (neighbours.ease, neighbours.session)),
        }
    if weights is not None:
        rules["one finite weight for every two items"] = weights.shape == (items, items) and _is_within(
            weights, -LARGEST, LARGEST
        )
    if embeddings is not None:
        rules["one finite embedding an item"] = len(embeddings) == items and _is_within(embeddings, -LARGEST, LARGEST)
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
    if factors.student is not None:
        rules["a lexical index, which the student reads"] = factors.lexical is not None
        rules |= dict.fromkeys(factors.student.broken_rules(), False)
    return rules


def _is_within(array: npt.NDArray[Any], least: float, most: float) -> bool:
    # NaN is the least and the greatest of whatever it is among, and within nothing; no copy is made, as isfinite would
    return not array.size or bool(least <= array.min() and array.max() <= most)


def _features(groups: Iterable[str]) -> set[str]:
    return {name for group in groups for name in GROUPS[group]}
