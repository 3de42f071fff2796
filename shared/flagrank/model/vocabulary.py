"""The words of the catalogue as two plain arrays, with the look-ups that queries need."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from flagrank.model.factors import Rows

# no misspelling is looked for in longer words, so that the work for one word is bounded
MAX_LETTERS = 32

type Bytes = npt.NDArray[np.uint8]
type Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words in code point order: word w is the UTF-8 `text[indptr[w] : indptr[w + 1]]`.

    text (b,) uint8; indptr (w + 1,) int64. One blob keeps half a million words within a few MB, where Python strings
    would take 30, and UTF-8 sorts as the code points do.
    """

    text: Bytes
    indptr: Offsets

    @classmethod
    def of(cls, words: Iterable[str]) -> "Vocabulary":
        """The vocabulary of these words, each once; raises UnicodeEncodeError for a lone surrogate."""
        encoded = sorted({word.encode() for word in words})
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return cls(np.frombuffer(b"".join(encoded), np.uint8), np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, number: int) -> str:
        return self._encoded(number).decode()

    def find(self, word: str) -> int | None:
        """The word's number, None where it is unknown."""
        # a lone surrogate has no UTF-8, and what stands for it here is in no vocabulary
        wanted = word.encode(errors="surrogatepass")
        place = bisect_left(range(len(self)), wanted, key=self._encoded)
        return place if place < len(self) and self._encoded(place) == wanted else None

    @cached_property
    def letters(self) -> "Letters":
        """What spelling compares, made once: about 60 bytes a word."""
        return Letters.of(self)

    def broken_rules(self) -> list[str]:
        """The rules that the arrays break; every look-up is safe where there are none."""
        text, indptr = self.text, self.indptr
        if not (text.ndim == indptr.ndim == 1 and text.dtype == np.uint8 and indptr.dtype == np.int64):
            return ["words as bytes with int64 offsets"]
        if not are_offsets(indptr, len(text)):
            return ["words with rising offsets"]
        try:
            text.tobytes().decode()
        except UnicodeDecodeError:
            return ["words in UTF-8"]
        # a word that began within a letter would not decode alone
        if (text[indptr[:-1]] & 0xC0 == 0x80).any():
            return ["words of whole letters"]
        words = [self._encoded(number) for number in range(len(self))]
        is_rising = all(one < other for one, other in pairwise(words))
        return [] if is_rising else ["words in order"]

    def _encoded(self, number: int) -> bytes:
        return self.text[self.indptr[number] : self.indptr[number + 1]].tobytes()


@dataclass(frozen=True, eq=False)
class Letters:
    """The words of 3 to 34 letters and nothing else, shortest first, equal lengths in order of the vocabulary.

    code_points: all letters of the vocabulary, uint32. Of each of the s words: `words` (s,) its number, `starts` (s,)
    its first letter in `code_points`, `signatures` (s,) uint64 with a bit for each letter that occurs. `length_indptr`:
    the words of n letters are `length_indptr[n] : length_indptr[n + 1]`.
    """

    code_points: npt.NDArray[np.uint32]
    words: Rows
    starts: Rows
    signatures: npt.NDArray[np.uint64]
    length_indptr: Offsets

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Letters":
        """The letters of a consistent vocabulary."""
        raw = vocabulary.text.tobytes()
        code_points = np.frombuffer(raw.decode().encode("utf-32-le"), np.uint32)
        letters_before = np.concatenate([[0], np.cumsum(vocabulary.text & 0xC0 != 0x80)])
        bounds = letters_before[vocabulary.indptr]
        lengths = np.diff(bounds)
        kept = np.flatnonzero((lengths >= 3) & (lengths <= MAX_LETTERS + 2))
        if len(kept):
            kept = kept[np.logical_and.reduceat(_is_letter(code_points), bounds[:-1])[kept]]
        words = kept[np.argsort(lengths[kept], kind="stable")]
        signatures = np.empty(0, np.uint64)
        if len(words):
            signatures = np.bitwise_or.reduceat(signature_bits(code_points), bounds[:-1])[words]
        length_indptr = np.searchsorted(lengths[words], np.arange(MAX_LETTERS + 4))
        return cls(code_points, words, bounds[words], signatures, length_indptr)


def are_offsets(indptr: Offsets, total: int) -> bool:
    """Whether these are the bounds of parts that are not empty, from 0 to the total."""
    # compared, not subtracted: a difference of hostile numbers may overflow
    return bool(len(indptr) and indptr[0] == 0 and indptr[-1] == total and (indptr[1:] > indptr[:-1]).all())


def signature_bits(code_points: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """One bit of 64 for each letter; the letters of one alphabet have different ones."""
    return np.uint64(1) << (code_points & np.uint32(63)).astype(np.uint64)


def _is_letter(code_points: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    present = np.flatnonzero(np.bincount(code_points))
    table = np.zeros(int(present[-1]) + 1, bool)
    table[present] = [chr(code_point).isalpha() for code_point in present]
    return table[code_points]
