"""The lexical source: exact top-k by BM25 over the published inverted index, seen and filtered items masked."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from flagrank.model.factors import Floats, Rows
from flagrank.model.lexical import LexicalIndex

# so many binary searches are cheaper than a scan over a million items
MAX_LOOKUPS = 16_384
FIRST_SPAN, LAST_SPAN = 8192, 65_536
# a table of all positions in a range is faster than searches where they are this close together
TABLE_RATIO = 16

type Eligible = npt.NDArray[np.bool_] | None
type Positions = npt.NDArray[np.int32]
type WordPostings = tuple[Positions, np.float32]

# a key orders items by falling score, then by rising row: the score's bits, then the row counted backwards
_ROW_BITS = 32
_LAST_ROW = (1 << _ROW_BITS) - 1


def lexical_top_k(
    index: LexicalIndex, weights: Mapping[str, float], k: int, masked: Rows, eligible: Eligible = None
) -> tuple[Rows, Floats]:
    """The k best item rows (int64) for weighted words, and their scores (float32), best first, ties by row.

    Only items that hold a word are found, so there may be fewer. Words that are unknown or whose weight is not above 0
    count for nothing. `masked` rows, in any order, and rows not `eligible` (n,) are left out.

    Exact, after MaxScore (Turtle and Flood 1995): words are met by rising frequency. Those of few items are scored
    item by item, and the search ends as soon as all the words left cannot lift an item into the k best. Those of many
    are scored over spans of items, shortest texts first, until the bound at the next length falls behind the k-th best.
    """
    search = _Search(index, weights, k, masked, eligible)
    if eligible is not None and np.count_nonzero(eligible) * len(search.words) <= 2 * MAX_LOOKUPS:
        positions = np.sort(index.position_of[eligible])
        search.score_items(positions, np.zeros(len(positions), np.float32), search.words)
        return _rows_and_scores(search.best)
    lookups = MAX_LOOKUPS * len(search.words)
    while search.words and not search.is_settled(0) and (lookups := lookups - search.cost()) >= 0:
        search.score_rarest()
    start, span = 0, FIRST_SPAN
    while search.words and start < len(index.rows_by_length) and not search.is_settled(start):
        search.score_span(start, min(start + span, len(index.rows_by_length)))
        start, span = start + span, min(2 * span, LAST_SPAN)
    return _rows_and_scores(search.best)


class _Search:
    """What is left to score, and the keys of the k best so far.

    `words` are the postings left, rarest first, with what each adds: idf times weight. Every score is summed in this
    order. `dropped` are the positions that are not to be scored: masked, or scored already.
    """

    def __init__(
        self, index: LexicalIndex, weights: Mapping[str, float], k: int, masked: Rows, eligible: Eligible
    ) -> None:
        found = {index.vocabulary.find(word): np.float32(weight) for word, weight in weights.items() if weight > 0}
        known = sorted((index.frequencies[n], n, weight) for n, weight in found.items() if n is not None)
        self.words: list[WordPostings] = [(index.postings(n), index.idf[n] * weight) for _, n, weight in known]
        self.dropped: list[Positions] = [np.sort(index.position_of[masked])] if len(masked) else []
        self.index, self.k, self.eligible = index, k, eligible
        self.best: Rows = np.empty(0, np.int64)

    def cost(self) -> int:
        """About how many binary searches scoring the items of the rarest word takes."""
        return len(self.words[0][0]) * len(self.words)

    def is_settled(self, start: int, skipped: int = 0) -> bool:
        """Whether no item from this position on can be among the k best by the words left, the first ones skipped."""
        if len(self.best) < self.k:
            return False
        words = self.words[skipped:]
        start = max(start, min(int(postings[0]) for postings, _ in words))
        length = int(np.searchsorted(self.index.length_indptr, start, "right")) - 1
        # summed in the order of scores, so that rounding cannot leave the bound below one
        bound = _plus(np.zeros(1, np.float32), words) * self.index.saturations[length]
        # within a length rows rise, and the next one scores less, so no item from here on has a better key
        return bool(self.best[-1] > _keys(bound, self.index.rows_by_length[start : start + 1])[0])

    def score_rarest(self) -> None:
        """Score the items that hold the rarest word left, and be done with that word."""
        (positions, value), *self.words = self.words
        self.score_items(positions, np.full(len(positions), value), self.words)
        self.dropped.append(positions)

    def score_span(self, start: int, stop: int) -> None:
        """Score the items of these positions that hold a word without which none can be among the k best."""
        essential = len(self.words)
        while essential > 1 and self.is_settled(start, essential - 1):
            essential -= 1
        scores = np.zeros(stop - start, np.float32)
        for postings, value in self.words[:essential]:
            np.add.at(scores, np.subtract(_between(postings, start, stop), start, dtype=np.intp), value)
        ends = np.clip(self.index.length_indptr, start, stop)
        can_win = self._can_win(scores, np.repeat(self.index.saturations, np.diff(ends)), self.words[essential:])
        found = np.flatnonzero(can_win & (scores > 0))
        self.score_items((found + start).astype(np.int32), scores[found], self.words[essential:])

    def score_items(self, positions: Positions, scores: Floats, words: Sequence[WordPostings]) -> None:
        """Add these words to the scores of items at rising positions, and keep the best that are not dropped."""
        ends = np.searchsorted(positions, self.index.length_indptr.astype(np.int32))
        saturations = np.repeat(self.index.saturations, np.diff(ends))
        is_open = self._can_win(scores, saturations, words)
        for others in self.dropped:
            is_open[_held(positions, others)] = False
        positions, scores, saturations = positions[is_open], scores[is_open], saturations[is_open]
        for postings, value in words:
            scores[_held(positions, postings)] += value
        self._keep(scores * saturations, self.index.rows_by_length[positions])

    def _can_win(self, scores: Floats, saturations: Floats, words: Sequence[WordPostings]) -> npt.NDArray[np.bool_]:
        least = _scores(self.best[-1:]) if len(self.best) == self.k else np.float32(0)
        return _plus(scores, words) * saturations >= least

    def _keep(self, scores: Floats, rows: npt.NDArray[np.int32]) -> None:
        is_open = scores > 0
        if self.eligible is not None:
            is_open &= self.eligible[rows]
        keys = np.concatenate([self.best, _keys(scores[is_open], rows[is_open])])
        if len(keys) > self.k:
            keys = np.partition(keys, len(keys) - self.k)[len(keys) - self.k :]
        self.best = np.sort(keys)[::-1]


def _plus(scores: Floats, words: Sequence[WordPostings]) -> Floats:
    """The scores of items that hold all these words as well."""
    for _, value in words:
        scores = scores + value
    return scores


def _held(positions: Positions, others: Positions) -> Rows:
    """The places in `positions` of those that are also among `others`; both rise."""
    if not len(positions):
        return np.empty(0, np.int64)
    start, stop = int(positions[0]), int(positions[-1]) + 1
    others = _between(others, start, stop)
    few, many = (positions, others) if len(positions) <= len(others) else (others, positions)
    if not len(few):
        return np.empty(0, np.int64)
    if stop - start < TABLE_RATIO * len(few):
        table = np.zeros(stop - start, bool)
        table[np.subtract(others, start, dtype=np.intp)] = True
        return np.flatnonzero(table[np.subtract(positions, start, dtype=np.intp)])
    places = np.searchsorted(many, few)
    places[places == len(many)] = 0
    is_met = many[places] == few
    return np.flatnonzero(is_met) if few is positions else places[is_met]


def _between(positions: Positions, start: int, stop: int) -> Positions:
    first, last = np.searchsorted(positions, np.array([start, stop], np.int32))
    return positions[first:last]


def _keys(scores: Floats, rows: npt.NDArray[np.int32]) -> Rows:
    """One rising integer for an item's place: floats that are not negative compare as their bits do."""
    return (scores.view(np.uint32).astype(np.int64) << _ROW_BITS) | (_LAST_ROW - rows.astype(np.int64))


def _scores(keys: Rows) -> Floats:
    return (keys >> _ROW_BITS).astype(np.uint32).view(np.float32)


def _rows_and_scores(keys: Rows) -> tuple[Rows, Floats]:
    return _LAST_ROW - (keys & _LAST_ROW), _scores(keys)
