"""Corrections of a word that the vocabulary does not hold: the words of the smallest edit distance. Pure, bounded."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flagrank.model.factors import Rows
from flagrank.model.vocabulary import MAX_LETTERS, Letters, Vocabulary, signature_bits

MIN_LETTERS = 4
# a word this long is met at distance 2, a shorter one at 1, as search engines do
TWO_ERRORS_FROM = 8
# words whose letters fit well enough to be compared one by one; more are cut, those that fit worst first
MAX_COMPARED = 4096

type Bits = npt.NDArray[np.uint64]

_ONE = np.uint64(1)


@dataclass(frozen=True, slots=True)
class Correction:
    """A word of the vocabulary that may have been meant; `weight`, in 0..1, is the share of letters that were right."""

    word: str
    distance: int
    weight: float


def corrections(vocabulary: Vocabulary, frequencies: Rows, word: str, limit: int = 3) -> tuple[Correction, ...]:
    """The nearest words for one that is unknown, the most frequent first, ties in order of the vocabulary.

    Words of 4 to 7 letters are met at distance 1, those of 8 to 32 at distance 2 (none at 2 where there is one at 1);
    the first letter may be wrong, too. The distance is Damerau and Levenshtein's in its restricted form: insertions,
    deletions, substitutions and swaps of neighbours, no letter in two of them. There are none for a word that is known,
    that is shorter or longer, or that holds anything but letters: another number is another thing.
    `frequencies` (w,): how many items hold each word of the vocabulary.
    """
    if not MIN_LETTERS <= len(word) <= MAX_LETTERS or not word.isalpha() or vocabulary.find(word) is not None:
        return ()
    allowed = 1 if len(word) < TWO_ERRORS_FROM else 2
    pattern = np.fromiter(map(ord, word), np.uint32, len(word))
    entries = _alike(vocabulary.letters, pattern, allowed)
    distances = edit_distances(vocabulary.letters, pattern, entries)
    if not len(distances) or (nearest := int(distances.min())) > allowed:
        return ()
    found = vocabulary.letters.words[entries[distances == nearest]]
    best = found[np.lexsort((found, -frequencies[found]))][:limit]
    weight = 1 - nearest / len(word)
    return tuple(Correction(vocabulary[number], nearest, weight) for number in best.tolist())


def edit_distances(letters: Letters, pattern: npt.NDArray[np.uint32], entries: Rows) -> npt.NDArray[np.int64]:
    """The restricted Damerau-Levenshtein distance of a pattern of 1 to 63 letters to each entry of `letters`, (e,).

    Bit-parallel (Hyyrö 2003, "A Bit-Vector Algorithm for Computing Levenshtein and Damerau Edit Distances"): one column
    of the usual table is two words of bits, whose ones say where it rises and falls, here for all entries at once.
    """
    lengths = np.searchsorted(letters.length_indptr, entries, "right") - 1
    longest = int(lengths.max(initial=0))
    # beyond its end an entry reads what follows it, and its distance is taken before that
    places = np.minimum(letters.starts[entries][:, None] + np.arange(longest), len(letters.code_points) - 1)
    matches = _matches(pattern, letters.code_points[places])
    last = np.uint64(len(pattern) - 1)
    rises = np.full(len(entries), ~np.uint64(0))
    falls, diagonal, before = (np.zeros(len(entries), np.uint64) for _ in range(3))
    distance = np.full(len(entries), len(pattern))
    at_end = distance.copy()
    for column in range(longest):
        here = matches[:, column]
        swapped = ((~diagonal & here) << _ONE) & before
        diagonal = (((here & rises) + rises) ^ rises) | here | falls | swapped
        up, down = falls | ~(diagonal | rises), diagonal & rises
        distance += ((up >> last) & _ONE).astype(np.int64) - ((down >> last) & _ONE).astype(np.int64)
        up, down = (up << _ONE) | _ONE, down << _ONE
        rises, falls, before = down | ~(diagonal | up), up & diagonal, here
        at_end = np.where(lengths == column + 1, distance, at_end)
    return at_end


def _alike(letters: Letters, pattern: npt.NDArray[np.uint32], allowed: int) -> Rows:
    """The entries that the distance may not rule out, by their lengths and by which letters they hold."""
    first = letters.length_indptr[max(0, len(pattern) - allowed)]
    stop = letters.length_indptr[min(len(pattern) + allowed + 1, len(letters.length_indptr) - 1)]
    signature = np.bitwise_or.reduce(signature_bits(pattern))
    # one edit brings a letter, takes one, or both
    differing = np.bitwise_count(letters.signatures[first:stop] ^ signature)
    entries = np.flatnonzero(differing <= 2 * allowed)
    if len(entries) > MAX_COMPARED:
        entries = np.sort(entries[np.argsort(differing[entries], kind="stable")[:MAX_COMPARED]])
    shifted: Rows = entries + first
    return shifted


def _matches(pattern: npt.NDArray[np.uint32], read: npt.NDArray[np.uint32]) -> Bits:
    """Where in the pattern each letter that was read stands, as bits."""
    bits = np.zeros(read.shape, np.uint64)
    for place, letter in enumerate(pattern):
        bits |= (read == letter).astype(np.uint64) << np.uint64(place)
    return bits
