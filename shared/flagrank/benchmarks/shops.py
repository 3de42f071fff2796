"""Sets of any size, made up in bulk: factors with norms that fall by popularity, as ALS makes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from flagrank.errors import ConfigurationError
from flagrank.local.cloud import REPOSITORY
from flagrank.model.arrays import Floats
from flagrank.model.catalog import Catalog
from flagrank.model.factors import Factors, FoldIn, Lexicon
from flagrank.model.lexical import build_lexical_index
from flagrank.offline.publishing import artifact_folder

DIMENSION = 64
SAMPLE = REPOSITORY / "artifacts/sample"
WORDS, WORDS_A_TEXT = 50_000, 10
# how the norm falls with the rank, and how far all items point the same way
NORM_EXPONENT, SHARED = 0.2, 0.5


def sample_folder() -> Path:
    """The published sample; raises ConfigurationError outside a clone of the repository."""
    if not SAMPLE.is_dir():
        raise ConfigurationError("artifacts/sample is not beside this package; run from a clone of the repository")
    return SAMPLE


def sample() -> Factors:
    """The sample's set, warm: 2,520 items with a Stage 2."""
    factors = artifact_folder.load(sample_folder())
    factors.warm()
    return factors


def made_up(
    items: int, users: int = 10, *, skew: float = 1.0, history: int = 50, texts: Sequence[str] | None = None
) -> Factors:
    """A set with item ids 0..items - 1 and user ids 1..users; `skew` 0 makes all norms alike, the worst case.

    With `texts`, one an item, it has a catalogue of them and an inverted index.
    """
    rng = np.random.default_rng(2)
    vectors = item_vectors(items, skew)
    seen = min(history, items)
    return Factors(
        version="20260101-000000000000",
        item_factors=vectors,
        item_ids=np.arange(items, dtype=np.int64),
        user_factors=user_vectors(users, skew),
        user_ids=np.arange(1, users + 1, dtype=np.int64),
        seen_indptr=np.arange(0, seen * users + 1, seen, dtype=np.int64),
        seen_indices=rng.integers(0, items, seen * users).astype(np.int32),
        item_gram=vectors.T @ vectors,
        popularity=np.maximum(1, 1000 / (np.arange(items) + 1)).astype(np.float32),
        catalog=Catalog.of([_line(row, texts[row] if texts else "thing") for row in range(items)]),
        lexicon=Lexicon({}, {}),
        fold_in=FoldIn(regularization=1.0, confidence=2.0),
        lexical=build_lexical_index(texts) if texts else None,
    )


def item_vectors(items: int, skew: float) -> Floats:
    """(n, DIMENSION) float32 by falling norm: one shared direction, whose strength falls with the rank."""
    vectors = np.random.default_rng(1).standard_normal((items, DIMENSION), np.float32)
    scale = ((np.arange(items) + 10.0) ** (-NORM_EXPONENT * skew)).astype(np.float32)[:, None]
    vectors = vectors * scale + np.float32(SHARED * skew) * scale
    return np.ascontiguousarray(vectors[np.argsort(-np.linalg.norm(vectors, axis=1), kind="stable")])


def user_vectors(users: int, skew: float) -> Floats:
    """(u, DIMENSION) float32."""
    return np.random.default_rng(3).standard_normal((users, DIMENSION), np.float32) + np.float32(SHARED * skew)


def zipf_texts(items: int, seed: int = 1) -> list[str]:
    """Ten words by Zipf's law for each item, each token once a text, as rewritten texts are."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum(1 / np.arange(1, WORDS + 1))
    drawn = np.searchsorted(shares / shares[-1], rng.random((items, WORDS_A_TEXT)))
    names = [f"word{number}" for number in range(WORDS)]
    return [" ".join(dict.fromkeys(names[number] for number in row)) for row in drawn.tolist()]


def _line(row: int, text: str) -> bytes:
    return orjson.dumps({"id": row, "title": f"Item {row}", "category": "all", "text": text})
