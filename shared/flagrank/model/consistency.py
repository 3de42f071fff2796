"""What holds between the parts of a published set, whatever its checksums say."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.model import lexical
from flagrank.model.factors import Factors
from flagrank.model.features import GROUPS
from flagrank.model.users import DIGEST_BYTES, MAX_BLOCK_BYTES, UserIndex, Users

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
    rules = {
        "there are items": items > 0,
        "one id, popularity and catalogue line an item": (
            len(factors.item_ids) == len(factors.popularity) == len(factors.catalog) == items
        ),
        "a square Gram matrix": factors.item_gram.shape == (dimension, dimension),
        "one id type": factors.item_ids.dtype.kind == factors.user_ids.dtype.kind
        and factors.item_ids.dtype.kind in "iU",
        "finite factors": _is_within(factors.item_factors, -LARGEST, LARGEST),
        "a finite Gram matrix": _is_within(factors.item_gram, -LARGEST_SUM, LARGEST_SUM),
        "finite popularities of 0 or more": _is_within(factors.popularity, 0, LARGEST),
        "fold-in parameters from 0 to a million": (
            0 <= factors.fold_in.regularization <= LARGEST_PARAMETER
            and 0 <= factors.fold_in.confidence <= LARGEST_PARAMETER
        ),
        "items by falling norm": bool((np.diff(factors.item_norms) <= 1e-6 * factors.item_norms[:-1]).all()),
    }
    if factors.user_index is not None:
        rules["one mean factor a dimension"] = factors.user_index.mean.shape == (dimension,)
        rules["as many users as promised"] = len(factors.user_ids) in (0, factors.user_index.users)
    rules |= _rules_of_users(factors.users, items, dimension) | _rules_of_optional_parts(factors)
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        return broken
    ids = factors.item_ids[factors.item_order]
    if (ids[1:] == ids[:-1]).any():
        broken.append("every id once")
    broken += factors.catalog.broken_rules(factors.item_ids)
    return broken if factors.lexical is None else broken + lexical.broken_rules(factors.lexical, items)


@np.errstate(all="ignore")
def broken_user_rules(users: Users, items: int, dimension: int) -> list[str]:
    """The rules that these users, such as those of a block, break in a set of so many items and factors."""
    return [rule for rule, holds in _rules_of_users(users, items, dimension).items() if not holds]


@np.errstate(all="ignore")
def broken_index_rules(index: UserIndex, size: int) -> list[str]:
    """The rules that the index of a users' file of so many bytes breaks."""
    blocks, starts = len(index.first_ids), index.starts
    lengths = np.diff(starts)
    rules = {
        "one start and checksum a block of users": (
            len(starts) == blocks + 1 and index.digests.shape == (blocks, DIGEST_BYTES)
        ),
        "blocks of users that make up their file": (
            len(starts) > 0 and int(starts[0]) == 0 and int(starts[-1]) == size and bool((lengths > 0).all())
        ),
        "blocks of users that a request can read": bool((lengths <= MAX_BLOCK_BYTES).all()),
        "blocks of users by rising id": bool((index.first_ids[:-1] < index.first_ids[1:]).all()),
        "a finite mean of the users": _is_within(index.mean, -LARGEST, LARGEST),
        "a user or more a block": (index.users >= blocks) and (index.users == 0) == (blocks == 0),
    }
    return [rule for rule, holds in rules.items() if not holds]


def _rules_of_users(users: Users, items: int, dimension: int) -> dict[str, bool]:
    indptr, seen = users.indptr, users.seen
    return {
        "one row of factors a user": users.factors.shape == (len(users), dimension),
        "finite user factors": _is_within(users.factors, -LARGEST, LARGEST),
        "users by rising id": bool((users.ids[:-1] < users.ids[1:]).all()),
        "seen items in range": (
            len(indptr) == len(users) + 1
            and int(indptr[0]) == 0
            and int(indptr[-1]) == len(seen)
            and bool((indptr[:-1] <= indptr[1:]).all())
            and _is_within(seen, 0, items - 1)
        ),
    }


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
