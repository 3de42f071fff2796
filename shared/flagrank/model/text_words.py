"""The inverted index turned around: the words of each item's text, so that a request only gathers what it needs."""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flagrank.model.arrays import Rows
from flagrank.model.lexical import LexicalIndex
from flagrank.model.vocabulary import Offsets

type Hashes = npt.NDArray[np.uint32]
type Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TextWords:
    """What n items' texts hold, of w words and p postings.

    indptr (n + 1,) int64 and words (p,) int32: the words of item row i are `words[indptr[i] : indptr[i + 1]]`, by their
    numbers in the index's vocabulary, rising. word_hashes (w,) and category_hashes (categories,) uint32.
    """

    indptr: Offsets
    words: Numbers
    word_hashes: Hashes
    category_hashes: Hashes

    @classmethod
    def of(cls, index: LexicalIndex, categories: list[str]) -> "TextWords":
        """The words of an index's items; `categories` in the order of their codes."""
        rows = index.rows_by_length[index.positions]
        numbers = np.repeat(np.arange(len(index.idf), dtype=np.int32), index.frequencies)
        lengths = np.bincount(rows, minlength=len(index.rows_by_length))
        spelt = map(index.vocabulary.__getitem__, range(len(index.idf)))
        return cls(
            indptr=np.concatenate([[0], np.cumsum(lengths)]),
            words=numbers[np.argsort(rows, kind="stable")],
            word_hashes=np.fromiter(map(hash_of, spelt), np.uint32, len(index.idf)),
            # a word holds no white space, so no word is taken for a category
            category_hashes=np.fromiter((hash_of(f" {name}") for name in categories), np.uint32, len(categories)),
        )

    def gathered(self, rows: Rows) -> tuple[Numbers, Rows]:
        """The words of the item rows (c,), one after another, and for each the place of its item in `rows`."""
        starts, lengths = self.indptr[rows], self.indptr[rows + 1] - self.indptr[rows]
        places = np.repeat(np.arange(len(rows)), lengths)
        before = np.cumsum(lengths) - lengths
        return self.words[np.arange(len(places)) + (starts - before)[places]], places


def hash_of(word: str) -> int:
    """32 bits of a word, the same in every process."""
    return zlib.crc32(word.encode(errors="surrogatepass"))
