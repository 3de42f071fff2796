"""The student: a model distilled from an LLM's judgements, which numpy alone scores (infra/decisions/0073).

A relevance is the sum of two parts: trees over how an item's text meets the intent, and a weight for each pair of a
word of the intent and a word of the text. Pairs are hashed, as Weinberger et al. 2009, "Feature Hashing for Large Scale
Multitask Learning", have it.
"""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from flagrank.model.arrays import Floats, Rows
from flagrank.model.stage2 import Table, Tree, TreeEnsemble, Vector
from flagrank.model.text_words import Hashes

PAIR_BITS = range(8, 21)

_SPREAD, _MIX = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)
_HALF = np.uint32(15)


class StudentDocument(BaseModel):
    """`student.json`: the columns that the trees read, in order, and the trees; the weights of pairs are an array.

    `judge` names the model whose judgements it learned from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: Annotated[tuple[str, ...], Field(min_length=1)]
    trees: Annotated[tuple[Tree, ...], Field(min_length=1)]
    judge: str = ""


class Student:
    """A published student, ready to score. `pairs` (2^b,) float32: the weight of each bucket of word pairs."""

    def __init__(self, document: StudentDocument, pairs: Floats) -> None:
        self.document = document
        self.pairs = pairs
        self._trees = TreeEnsemble(document.trees)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns it reads, in order."""
        return self.document.features

    def by_trees(self, table: Table) -> Vector:
        """The part (c,) of the relevance that follows from a table (c, features)."""
        return self._trees.score(table)

    def by_pairs(self, intent: Hashes, words: Hashes, places: Rows, items: int) -> Vector:
        """The part (items,) that follows from pairs; see `pair_buckets` for the arguments."""
        weights: Vector = self.pairs[pair_buckets(intent, words, len(self.pairs))].sum(axis=0, dtype=np.float64)
        return np.bincount(places, weights, items) * pair_scale(len(intent), places, items)

    def broken_rules(self) -> list[str]:
        """The rules that the published parts break; scoring cannot fail where there are none."""
        pairs = self.pairs
        size = len(pairs) if pairs.ndim == 1 else 0
        rules = {
            "pairs of words in 2^8 to 2^20 buckets": size in {1 << bits for bits in PAIR_BITS},
            "finite weights of word pairs": bool(np.isfinite(pairs).all()),
            "trees that read the student's features": all(
                feature < len(self.features) for tree in self.document.trees for feature in tree.feature
            ),
        }
        return [rule for rule, holds in rules.items() if not holds]


def pair_buckets(intent: Hashes, words: Hashes, buckets: int) -> Rows:
    """The bucket (i, p) of each pair of the intent's (i,) and the texts' (p,) hashed words; `buckets` a power of 2.

    Integers alone, so that training and serving agree on every machine.
    """
    mixed = intent[:, None] ^ (words * _SPREAD)[None, :]
    mixed ^= mixed >> _HALF
    mixed *= _MIX
    return (mixed >> np.uint32(33 - buckets.bit_length())).astype(np.intp)


def pair_scale(intent_words: int, places: Rows, items: int) -> Vector:
    """What an item's sum over pairs (items,) is multiplied by, so that long texts do not outweigh short ones."""
    counts = np.bincount(places, minlength=items)
    scale: Vector = 1 / np.sqrt(np.maximum(1, intent_words * counts))
    return scale
