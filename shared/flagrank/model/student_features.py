"""What the student knows of an intent and each item: one code path for training and serving."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flagrank.model.arrays import Floats, Rows, Scores
from flagrank.model.factors import Factors
from flagrank.model.lexical import LexicalIndex
from flagrank.model.stage2 import Table
from flagrank.model.text_words import Hashes, Numbers, TextWords, hash_of

# an intent has no more words: serving bounds those of a query and of a profile
MAX_INTENT_WORDS = 24
# an item stands for a word with others: the shortest texts that hold it say most of it
ITEMS_PER_WORD = 32
# the word of the intent that every pair is also made with: what an item's words say whatever is asked
ANY_INTENT = ""

FEATURES = (
    "intent_words",
    "text_words",
    "met",
    "met_share",
    "met_first",
    "met_early",
    "met_idf",
    "bm25",
    "embedding",
)


@dataclass(frozen=True, eq=False, slots=True)
class PairInput:
    """The hashed words of an intent (i,), those of c items one after another (p,), and the item of each (p,)."""

    intent: Hashes
    words: Hashes
    places: Rows


@dataclass(frozen=True, eq=False, slots=True)
class _Met:
    """The intent's m known words (numbers, places in the intent), and where c items hold one: (item, which known)."""

    numbers: Numbers
    order: Rows
    items: Rows
    which: Rows

    def summed(self, weights: Scores, items: int) -> npt.NDArray[np.float64]:
        """The sum (items,) of the weights (m,) of the words that each item holds."""
        # without a single hit numpy counts in integers
        return np.bincount(self.items, weights[self.which], items).astype(np.float64)


def relevance(factors: Factors, intent: str, rows: Rows) -> Rows:
    """The student's relevance 0..100 (c,) int64 of the item rows (c,) to an intent, its words between blanks.

    The set must have a student.
    """
    student = factors.student
    assert student is not None
    table, pairs = student_input(factors, intent.split(), rows, student.features)
    scores = student.by_trees(table) + student.by_pairs(pairs.intent, pairs.words, pairs.places, len(rows))
    return np.rint(np.clip(scores, 0, 100)).astype(np.int64)


def student_input(
    factors: Factors, intent: Sequence[str], rows: Rows, names: tuple[str, ...] = FEATURES
) -> tuple[Table, PairInput]:
    """Both parts of what the student reads: features (c, names) float32 of the item rows (c,), and the word pairs.

    The set must have a lexical index; `embedding` is 0 without item embeddings.
    """
    index, texts = factors.lexical, factors.text_words
    assert index is not None
    words = list(dict.fromkeys(intent))[:MAX_INTENT_WORDS]
    held, places = texts.gathered(rows)
    met = _met(index, words, held, places)
    columns = _columns(factors, index, met, len(words), rows, np.bincount(places, minlength=len(rows)))
    table = np.zeros((len(rows), len(names)), np.float32)
    for place, name in enumerate(names):
        table[:, place] = columns[name]
    return table, _pairs(factors, texts, words, held, places, rows)


def _met(index: LexicalIndex, words: Sequence[str], held: Numbers, places: Rows) -> _Met:
    found = ((index.vocabulary.find(word), order) for order, word in enumerate(words))
    known = sorted((number, order) for number, order in found if number is not None)
    numbers = np.array([number for number, _ in known], np.int32)
    order = np.array([place for _, place in known], np.int64)
    if not known:
        return _Met(numbers, order, order, order)
    which = np.minimum(np.searchsorted(numbers, held), len(numbers) - 1)
    hits = np.flatnonzero(numbers[which] == held)
    return _Met(numbers, order, places[hits], which[hits])


def _columns(
    factors: Factors, index: LexicalIndex, met: _Met, intent_words: int, rows: Rows, lengths: Rows
) -> dict[str, Scores | float]:
    items, idf = len(rows), index.idf[met.numbers].astype(np.float64)
    count = met.summed(np.ones(len(idf)), items)
    met_idf = met.summed(idf, items)
    early = 1 / (1.0 + met.order)
    saturation = index.saturations[np.searchsorted(index.length_indptr, index.position_of[rows], "right") - 1]
    return {
        "intent_words": float(intent_words),
        "text_words": lengths.astype(np.float32),
        "met": count,
        "met_share": count / max(1, intent_words),
        "met_first": met.summed((met.order == 0).astype(np.float64), items),
        "met_early": met.summed(early, items) / max(1e-9, float(np.sum(1 / np.arange(1.0, intent_words + 1)))),
        "met_idf": met_idf / max(1e-9, float(idf.sum())),
        "bm25": met_idf * saturation,
        "embedding": _embedding(factors, index, met.numbers, idf, rows),
    }


def _embedding(
    factors: Factors, index: LexicalIndex, numbers: Numbers, idf: npt.NDArray[np.float64], rows: Rows
) -> Floats | float:
    """The cosine (c,) of items and the intent, whose words are stood for by the mean of items that hold them."""
    embeddings = factors.item_embeddings
    if embeddings is None or not len(numbers):
        return 0.0
    holders = [index.rows_by_length[index.postings(number)[:ITEMS_PER_WORD]] for number in numbers.tolist()]
    weights = np.concatenate([np.full(len(some), one / len(some)) for some, one in zip(holders, idf, strict=True)])
    direction = weights.astype(np.float32) @ embeddings[np.concatenate(holders)]
    cosine: Floats = embeddings[rows] @ (direction / max(1e-9, float(np.linalg.norm(direction))))
    return cosine


def _pairs(
    factors: Factors, texts: TextWords, words: Sequence[str], held: Numbers, places: Rows, rows: Rows
) -> PairInput:
    intent = np.array([hash_of(word) for word in (ANY_INTENT, *words)], np.uint32)
    categories = texts.category_hashes[factors.catalog.category_codes[rows]]
    return PairInput(
        intent,
        np.concatenate([texts.word_hashes[held], categories]),
        np.concatenate([places, np.arange(len(rows))]),
    )
