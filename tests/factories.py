"""Small, valid values for tests to build on."""

from typing import Any

import numpy as np

from flagrank.model.attributes import Attributes, encoded
from flagrank.model.catalog import Catalog, CatalogItem
from flagrank.model.factors import Factors, FoldIn, Lexicon
from flagrank.model.lexical import build_lexical_index
from flagrank.model.stage2 import Tree
from flagrank.model.student import Student, StudentDocument, pair_buckets
from flagrank.model.student_features import ANY_INTENT
from flagrank.model.text_words import hash_of

CATEGORIES = ("audio", "kitchen", "cycling")
WORDS = ("wireless", "steel", "light", "compact", "red", "folding", "quiet")


def make_factors(items: int = 50, users: int = 10, dimension: int = 8, seed: int = 0, **overrides: Any) -> Factors:
    """A consistent set: int ids, item ids 100, 101, ..., user ids 1, 2, ..., three seen items a user."""
    rng = np.random.default_rng(seed)
    item_factors = rng.normal(size=(items, dimension)).astype(np.float32)
    item_factors = item_factors[np.argsort(-np.linalg.norm(item_factors, axis=1), kind="stable")]
    seen_each = min(3, items)
    values: dict[str, Any] = {
        "version": "20260101-000000000000",
        "item_factors": item_factors,
        "item_ids": np.arange(100, 100 + items, dtype=np.int64),
        "user_factors": rng.normal(size=(users, dimension)).astype(np.float32),
        "user_ids": np.arange(1, users + 1, dtype=np.int64),
        "seen_indptr": np.arange(0, seen_each * users + 1, seen_each, dtype=np.int64),
        "seen_indices": np.concatenate([rng.choice(items, seen_each, replace=False) for _ in range(users)]).astype(
            np.int32
        )
        if users
        else np.empty(0, np.int32),
        "item_gram": item_factors.T @ item_factors,
        "popularity": rng.integers(1, 500, items).astype(np.float32),
        "lexicon": Lexicon({"cordless": "wireless"}, {"calls": ("quiet",)}),
        "lexical": build_lexical_index([_text(row) for row in range(items)]),
        "fold_in": FoldIn(regularization=1.0, confidence=2.0),
    }
    ids = overrides.get("item_ids", values["item_ids"]).tolist()
    values["catalog"] = Catalog.of(_line(row, item_id) for row, item_id in enumerate(ids))
    return Factors(**{**values, **overrides})


def make_attributes(items: int = 200) -> Attributes:
    """A price that rises with the row, a stock of which every tenth item has none left, and five brands."""
    return {
        "price": encoded("number", [row + 0.5 for row in range(items)]),
        "stock": encoded("integer", [row % 10 for row in range(items)]),
        "brand": encoded("text", [f"brand {row % 5}" for row in range(items)]),
    }


def make_student(**pairs: float) -> Student:
    """A student to whom an item that meets a word of the intent is worth 80 and another 10.

    `pairs` adds a weight to each item whose text holds the word, whatever the intent.
    """
    tree = Tree(feature=(0,), threshold=(0.5,), kept=(2,), leaves=(10.0, 80.0))
    weights = np.zeros(1 << 12, np.float32)
    for word, weight in pairs.items():
        any_intent, words = (np.array([hash_of(each)], np.uint32) for each in (ANY_INTENT, word))
        weights[pair_buckets(any_intent, words, len(weights))] = weight
    return Student(StudentDocument(features=("met",), trees=(tree,), judge="teacher"), weights)


def _line(row: int, item_id: int | str) -> bytes:
    category = CATEGORIES[row % len(CATEGORIES)]
    return CatalogItem(f"Thing {row}", category, _text(row)).to_line(item_id)


def _text(row: int) -> str:
    return f"{WORDS[row % len(WORDS)]} {CATEGORIES[row % len(CATEGORIES)]} thing {row}"
