"""A query in the words of one published set."""

import re
from dataclasses import dataclass, field, replace

import numpy as np

from flagrank.candidates.generate import CandidateSet
from flagrank.candidates.query import meets_all
from flagrank.candidates.source import Term
from flagrank.candidates.spelling import Correction, corrections
from flagrank.domain import QueryMatch
from flagrank.model.factors import Factors, Lexicon
from flagrank.model.lexical import LexicalIndex
from flagrank.rerank.intent import Intent, intent_of, tokenise

# "a headset for work calls" names a headset; what it is for counts for less, and what that implies for little
PURPOSE_WEIGHT = 0.35
EXPANSION_WEIGHT = 0.1
# the work for one query is bounded: nobody means more words than these
MAX_WORDS = 16

_FOR = re.compile(r"\bfor\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """A query's intent, and its `terms`: what of it the published texts hold.

    `corrected` maps misspelt words to what they were taken for. `unknown` are the words that no published word is like.
    `plain` are the words of a query that only names what is wanted, in published words; empty for any other.
    """

    intent: Intent
    terms: tuple[Term, ...] = ()
    corrected: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()

    def match(self, factors: Factors, found: CandidateSet) -> QueryMatch:
        """What became of the query's words among the candidates."""
        index = factors.lexical
        met_whole = bool(self.plain) and index is not None and meets_all(index, self.plain, found.rows)
        return QueryMatch(found.matches, self.corrected, self.unknown, met_whole)


def resolve_query(query: str, factors: Factors) -> ResolvedQuery:
    """The query as the set's texts spell it; without a published index the intent alone.

    Words are folded to their canonical form, and misspelt ones to the closest published word, before anything is
    looked for: both arms and the LLM read the same intent.
    """
    named, purpose = _split(query, factors.lexicon)
    tokens = dict.fromkeys(named, 1.0) | dict.fromkeys((word for word in purpose if word not in named), PURPOSE_WEIGHT)
    index = factors.lexical
    if index is None:
        return ResolvedQuery(intent_of(tuple(tokens), factors.lexicon))
    corrected: dict[str, str] = {}
    unknown: list[str] = []
    weights: dict[str, float] = {}
    for token, weight in list(tokens.items())[:MAX_WORDS]:
        if index.vocabulary.find(token) is not None:
            weights[token] = weight
        elif found := _correction(factors, index, token):
            corrected[token] = found.word
            weights.setdefault(found.word, weight * found.weight)
        else:
            unknown.append(token)
    intent = intent_of(tuple(dict.fromkeys(corrected.get(token, token) for token in tokens)), factors.lexicon)
    for word in intent.expansions:
        if index.vocabulary.find(word) is not None:
            weights.setdefault(word, EXPANSION_WEIGHT)
    terms = tuple(Term(word, weight) for word, weight in weights.items())
    is_plain = not corrected and not unknown and not purpose and len(tokens) <= MAX_WORDS
    return ResolvedQuery(intent, terms, corrected, tuple(unknown), tuple(tokens) if is_plain else ())


def _correction(factors: Factors, index: LexicalIndex, token: str) -> Correction | None:
    """The published word, or the synonym of one, that a misspelt word is closest to."""
    found = corrections(index.vocabulary, index.frequencies, token, limit=1)
    # texts hold canonical words alone, and callers misspell synonyms too
    synonyms = factors.lexicon.synonym_words
    for synonym in corrections(synonyms, np.zeros(len(synonyms), np.int64), token):
        word = factors.lexicon.synonyms[synonym.word]
        if index.vocabulary.find(word) is not None:
            found += (replace(synonym, word=word),)
    return min(found, key=lambda correction: correction.distance, default=None)


def _split(query: str, lexicon: Lexicon) -> tuple[list[str], list[str]]:
    """The words of what is wanted, and those of what it is for."""
    for found in _FOR.finditer(query):
        named = tokenise(query[: found.start()], lexicon)
        if named:
            return named, tokenise(query[found.end() :], lexicon)
    return tokenise(query, lexicon), []
