"""The candidates of one request: every source is asked here, for serving, training and evaluation alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flagrank.candidates.als import als
from flagrank.candidates.new import new
from flagrank.candidates.popular import popular
from flagrank.candidates.query import lexical, query_relevance
from flagrank.candidates.selection import not_among
from flagrank.candidates.similar import similar
from flagrank.candidates.source import CandidateRequest, Found, Source
from flagrank.candidates.user import User
from flagrank.model.arrays import Rows, Scores
from flagrank.model.factors import Factors
from flagrank.model.stage2 import SourceName

# the sources of taste of which a published set may name more than ALS, each with its share of the candidates
SOURCES: Mapping[SourceName, Source] = {"new": new, "similar": similar}
QUOTAS: Mapping[SourceName, float] = {"new": 0.1, "similar": 1.0}

# what a query names comes first; the user's taste fills what is left, and always has a part
QUERY_QUOTA = 0.75


@dataclass(frozen=True, eq=False, slots=True)
class CandidateSet:
    """c candidates by falling `taste`, ties by row; pins that no source found come last.

    `rows` (c,) int64; `taste` (c,): ALS's inner product with the user, popularity for a cold one; `relevance` (c,)
    float32 in 0..1: how much of the query an item's text meets, None without a query; `found`: each source's rows.
    """

    rows: Rows
    taste: Scores
    relevance: Scores | None
    found: Mapping[str, Rows]

    @property
    def matches(self) -> int:
        """How many candidates meet a word of the query."""
        return 0 if self.relevance is None else int(np.count_nonzero(self.relevance))

    def sources(self) -> dict[int, tuple[str, ...]]:
        """The names of the sources that found each row."""
        names: dict[int, tuple[str, ...]] = {}
        for name, rows in self.found.items():
            for row in rows.tolist():
                names[row] = (*names.get(row, ()), name)
        return names


def generate(factors: Factors, request: CandidateRequest, sources: Sequence[SourceName] | None = None) -> CandidateSet:
    """What the sources find, each within its quota, and the pins that are open.

    Without a query ALS is joined by `sources`, by default those from which the set's Stage 2 learned.
    """
    asked: dict[str, Found] = {}
    if request.terms:
        asked["lexical"] = lexical(factors, request, round(QUERY_QUOTA * request.count))
    taste = "popular" if request.user.vector is None else "als"
    by_taste = (popular if taste == "popular" else als)(factors, request, request.count)
    asked[taste] = _filled(by_taste, asked, request.count)
    if sources is None:
        sources = factors.stage2.document.sources if factors.stage2 is not None else ()
    if not request.terms:
        for name in sources:
            asked[name] = SOURCES[name](factors, request, round(QUOTAS[name] * request.count))
    found = {name: rows for name, (rows, _) in asked.items() if len(rows)}
    rows, scores = _by_taste(factors, request.user, asked[taste], found)
    pins = _open_pins(request, rows)
    if len(pins):
        rows, scores = np.concatenate([rows, pins]), np.concatenate([scores, taste_of(factors, request.user, pins)])
    relevance = None
    if request.terms and factors.lexical is not None:
        relevance = query_relevance(factors.lexical, request.terms, rows)
    return CandidateSet(rows, scores, relevance, found)


def taste_of(factors: Factors, user: User, rows: Rows) -> Scores:
    """How much the user is likely to like items (c,): ALS's inner product, or popularity for a cold user."""
    return factors.popularity[rows] if user.vector is None else factors.item_factors[rows] @ user.vector


def _filled(by_taste: Found, asked: Mapping[str, Found], count: int) -> Found:
    """So many of the best by taste that all together are `count` rows; what was found already does not count twice."""
    rows, scores = by_taste
    if not asked:
        return by_taste
    known = np.concatenate([others for others, _ in asked.values()])
    is_known = np.isin(rows, known)
    kept = is_known | (np.cumsum(~is_known) <= count - len(known))
    return rows[kept], scores[kept]


def _by_taste(factors: Factors, user: User, by_taste: Found, found: Mapping[str, Rows]) -> Found:
    rows, scores = by_taste
    others = not_among(rows, [its_rows for its_rows in found.values() if its_rows is not rows])
    if not len(others):
        return rows, scores
    # what the taste's own source scored keeps that score to the last bit
    rows, scores = np.concatenate([rows, others]), np.concatenate([scores, taste_of(factors, user, others)])
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def _open_pins(request: CandidateRequest, found: Rows) -> Rows:
    closed = {*found.tolist(), *request.masked.tolist()} if len(request.pinned) else set()
    eligible, pins = request.eligible, request.pinned.tolist()
    return np.array([row for row in pins if row not in closed and (eligible is None or eligible[row])], np.int64)
