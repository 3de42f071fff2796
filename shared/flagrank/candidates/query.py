"""What a query names: the items whose texts hold its words, and how much of it each of them meets."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flagrank.candidates.lexical import lexical_top_k
from flagrank.candidates.source import NOTHING, CandidateRequest, Found, Term
from flagrank.model.arrays import Floats, Rows
from flagrank.model.factors import Factors
from flagrank.model.lexical import LexicalIndex


def lexical(factors: Factors, request: CandidateRequest, count: int) -> Found:
    """For a request with a query: the best open items by BM25, with their scores. A Source."""
    if not request.terms or factors.lexical is None:
        return NOTHING
    weights = {term.word: term.weight for term in request.terms}
    return lexical_top_k(factors.lexical, weights, count, request.masked, request.eligible)


def query_relevance(index: LexicalIndex, terms: Sequence[Term], rows: Rows) -> Floats:
    """The share of the query's weight that the text of each item row meets, (c,) float32 in 0..1.

    A word weighs its term's weight times its idf, so that a rare word counts for more. Unlike BM25 the length of a text
    has no part: items that meet the same words are equals, and the user's taste orders them. Words that no text holds
    are left out.
    """
    positions = index.position_of[rows]
    met, whole = np.zeros(len(rows), np.float32), 0.0
    for term in terms:
        word = index.vocabulary.find(term.word)
        if word is None:
            continue
        weight = term.weight * float(index.idf[word])
        met += np.float32(weight) * _holds(index, word, positions)
        whole += weight
    return met / np.float32(whole) if whole > 0 else met


def meets_all(index: LexicalIndex, words: Sequence[str], rows: Rows) -> bool:
    """Whether the text of any of these item rows holds all of the words."""
    positions = index.position_of[rows]
    for text_word in words:
        word = index.vocabulary.find(text_word)
        if word is None:
            return False
        positions = positions[_holds(index, word, positions)]
    return len(positions) > 0


def _holds(index: LexicalIndex, word: int, positions: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    postings = index.postings(word)
    place = np.minimum(np.searchsorted(postings, positions), len(postings) - 1)
    held: npt.NDArray[np.bool_] = postings[place] == positions
    return held
