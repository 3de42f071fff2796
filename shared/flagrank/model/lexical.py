"""The published inverted index: which items' texts hold a word, and what a word is worth by BM25.

A rewritten text holds each of its tokens once (`rerank.intent.rewrite_item`), so BM25's term frequency is 1, and the
impact of word t in item i falls apart into idf(t) * saturation(length of i). Neither is stored for each posting, which
halves the index, and items that are kept by rising length meet a query best first, so that a search may stop early
(infra/decisions/0060).
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count

import numpy as np
import numpy.typing as npt

from flagrank.model.arrays import Floats, Rows
from flagrank.model.vocabulary import Bytes, Offsets, Vocabulary, are_offsets

# as Lucene has them, within the range of Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and
# Beyond", whose sections are named below
K1 = 1.2
B = 0.75

# longer texts count as this long, so that any two saturations differ by more than float32 rounds
MAX_LENGTH = 1024
LEAST_FALL = 1e-5

# texts that are split at a time
CHUNK = 1 << 16

type Tokens = npt.NDArray[np.int32]

NO_TOKENS: Tokens = np.empty(0, np.int32)
NO_LENGTHS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class LexicalIndex:
    """BM25 over n items with w words and p postings.

    word_text (b,) uint8 and word_indptr (w + 1,) int64: the vocabulary. idf (w,) float32.
    rows_by_length (n,) int32: item rows, shortest text first, equal lengths by row; an item's place in it is its
    position. length_indptr (l + 1,) int64: positions of equal length; saturations (l,) float32: what BM25 makes of each
    length, falling. indptr (w + 1,) int64 and positions (p,) int32: a word's items, positions rising.
    """

    word_text: Bytes
    word_indptr: Offsets
    idf: Floats
    rows_by_length: npt.NDArray[np.int32]
    length_indptr: Offsets
    saturations: Floats
    indptr: Offsets
    positions: npt.NDArray[np.int32]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words."""
        return Vocabulary(self.word_text, self.word_indptr)

    @cached_property
    def frequencies(self) -> Rows:
        """How many items hold each word, (w,) int64."""
        return np.diff(self.indptr)

    @cached_property
    def position_of(self) -> npt.NDArray[np.int32]:
        """The position of each item row, (n,) int32."""
        positions = np.empty(len(self.rows_by_length), np.int32)
        positions[self.rows_by_length] = np.arange(len(positions), dtype=np.int32)
        return positions

    def warm(self) -> None:
        """Compute now what is computed once, so that the first query need not wait."""
        _ = self.frequencies, self.position_of, self.vocabulary.letters

    def postings(self, word: int) -> npt.NDArray[np.int32]:
        """The positions of the items that hold a word, rising, (f,) int32."""
        return self.positions[self.indptr[word] : self.indptr[word + 1]]


def build_lexical_index(texts: Sequence[str]) -> LexicalIndex:
    """The index of items' rewritten texts, by row: tokens between white space, each counted once a text."""
    numbers: dict[str, int] = defaultdict(count().__next__)
    parts = list(_token_numbers(texts, numbers))
    tokens = np.concatenate([NO_TOKENS, *(tokens for tokens, _ in parts)])
    lengths = np.concatenate([NO_LENGTHS, *(lengths for _, lengths in parts)])
    del parts
    # UTF-8 and Python sort words alike
    vocabulary = Vocabulary.of(numbers)
    word_of = np.empty(len(numbers), np.int64)
    word_of[np.fromiter(map(numbers.__getitem__, sorted(numbers)), np.int64, len(numbers))] = np.arange(len(numbers))

    items = len(texts)
    counted = np.minimum(lengths, MAX_LENGTH)
    rows_by_length = np.argsort(counted, kind="stable")
    position_of = np.empty(items, np.int64)
    position_of[rows_by_length] = np.arange(items)
    # one number a posting, so that one sort orders them by word and then by position
    postings = word_of[tokens] * items + np.repeat(position_of, lengths)
    postings.sort()

    frequencies = np.bincount(word_of[tokens], minlength=len(numbers))
    found, starts = np.unique(counted[rows_by_length], return_index=True)
    return LexicalIndex(
        word_text=vocabulary.text,
        word_indptr=vocabulary.indptr,
        idf=_idf(frequencies, items),
        rows_by_length=rows_by_length.astype(np.int32),
        length_indptr=np.append(starts, items),
        saturations=_saturation(found, float(counted.mean()) if items else 1.0),
        indptr=np.concatenate([[0], np.cumsum(frequencies)]),
        positions=(postings % max(1, items)).astype(np.int32),
    )


def broken_rules(index: LexicalIndex, items: int) -> list[str]:
    """The rules that an index over so many items breaks; a search in it cannot fail where there are none."""
    broken = index.vocabulary.broken_rules()
    dtypes = {"idf": "f4", "rows_by_length": "i4", "length_indptr": "i8", "saturations": "f4", "indptr": "i8"}
    wrong = [name for name, dtype in (dtypes | {"positions": "i4"}).items() if not _is_row(getattr(index, name), dtype)]
    if broken or wrong:
        return broken + [f"{name} as one row of {dtypes.get(name, 'i4')}" for name in wrong]
    words, by_length = len(index.word_indptr) - 1, index.rows_by_length
    rules = {
        "one idf a word, above 0 and at most ln(1 + items)": (
            len(index.idf) == words and bool(((index.idf > 0) & (index.idf <= math.log1p(items) * 1.0001)).all())
        ),
        "every item by length once": (
            len(by_length) == items
            and bool(((by_length >= 0) & (by_length < items)).all())
            and bool((np.bincount(by_length, minlength=items) == 1).all())
        ),
        "lengths with rising offsets": are_offsets(index.length_indptr, items),
        "one saturation a length, between 0 and 1, falling": (
            len(index.saturations) == len(index.length_indptr) - 1
            and bool(((index.saturations > 0) & (index.saturations <= 1)).all())
            and bool((index.saturations[1:] <= index.saturations[:-1] * (1 - LEAST_FALL)).all())
        ),
        "postings with rising offsets": (
            len(index.indptr) == words + 1 and are_offsets(index.indptr, len(index.positions))
        ),
        "postings in range": bool(((index.positions >= 0) & (index.positions < items)).all()),
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        return broken
    ordered = {
        "items of one length by row": _rise_within(by_length, index.length_indptr),
        "a word's postings rising": _rise_within(index.positions, index.indptr),
    }
    return [rule for rule, holds in ordered.items() if not holds]


def _token_numbers(texts: Sequence[str], numbers: dict[str, int]) -> Iterator[tuple[Tokens, Rows]]:
    """The texts' distinct tokens as numbers, and how many each text has, for so many texts at a time."""
    for start in range(0, len(texts), CHUNK):
        split = [set(text.split()) for text in texts[start : start + CHUNK]]
        lengths = np.fromiter(map(len, split), np.int64, len(split))
        flat = map(numbers.__getitem__, chain.from_iterable(split))
        yield np.fromiter(flat, np.int32, int(lengths.sum())), lengths


def _idf(frequencies: Rows, items: int) -> Floats:
    """The weight of section 3.1 without judgements, and 1 within the logarithm: no word may count against an item."""
    return np.log1p((items - frequencies + 0.5) / (frequencies + 0.5)).astype(np.float32)


def _saturation(lengths: Rows, mean_length: float) -> Floats:
    """BM25's saturation of section 3.4 for a term frequency of 1."""
    return (1 / (1 + K1 * (1 - B + B * lengths / max(mean_length, 1e-9)))).astype(np.float32)


def _is_row(array: npt.NDArray[np.generic], dtype: str) -> bool:
    return array.ndim == 1 and array.dtype == np.dtype(dtype)


def _rise_within(values: npt.NDArray[np.int32], indptr: Offsets) -> bool:
    rises = values[1:] > values[:-1]
    rises[indptr[1:-1] - 1] = True
    return bool(rises.all())
