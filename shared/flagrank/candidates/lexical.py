"""The lexical source: exact top-k by BM25 over the published inverted index, seen and filtered items masked."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flagrank.model.arrays import Floats, Rows
from flagrank.model.lexical import LexicalIndex

# so many binary searches are cheaper than a scan over a million items
MAX_LOOKUPS = 16_384
FIRST_SPAN, LAST_SPAN = 8192, 65_536

type Positions = npt.NDArray[np.int32]

# a key orders items by falling score, then by rising row: the score's bits, then the row counted backwards
_ROW_BITS = 32
_LAST_ROW = (1 << _ROW_BITS) - 1


def lexical_top_k(
    index: LexicalIndex,
    weights: Mapping[str, float],
    k: int,
    masked: Rows,
    eligible: npt.NDArray[np.bool_] | None = None,
) -> tuple[Rows, Floats]:
    """The k best item rows (int64) for weighted words, and their scores (float32), best first, ties by row.

    Only items that hold a word are found, so there may be fewer. Words that are unknown or whose weight is not above 0
    count for nothing. `masked` rows, in any order, and rows not `eligible` (n,) are left out.

    Exact, after MaxScore (Turtle and Flood 1995): words are met by rising frequency. Those of few items are scored
    item by item, and the search ends as soon as all the words left cannot lift an item into the k best. Those of many
    are scored over spans of items, shortest texts first, until the bound at the next length falls behind the k-th best.
    """
    search = _Search(index, weights, k, masked, eligible)
    lookups = MAX_LOOKUPS
    while search.words and (lookups := lookups - search.cost()) >= 0:
        if search.is_settled(0):
            break
        search.score_items_of_rarest()
    start, span = 0, FIRST_SPAN
    while search.words and start < len(index.rows_by_length) and not search.is_settled(start):
        search.score_span(start, start + span)
        start, span = start + span, min(2 * span, LAST_SPAN)
    return _rows_and_scores(search.best)


class _Search:
    """What is left to score, and the k best so far.

    `words` are the postings that are left, rarest first, with what each adds (idf times weight). `dropped` are the
    positions that are not to be scored: masked, or scored already.
    """

    def __init__(
        self,
        index: LexicalIndex,
        weights: Mapping[str, float],
        k: int,
        masked: Rows,
        eligible: npt.NDArray[np.bool_] | None,
    ) -> None:
        found = {
            number: weight for word, weight in weights.items() if (number := index.vocabulary.find(word)) is not None
        }
        numbers = sorted((index.frequencies[number], number) for number, weight in found.items() if weight > 0)
        self.words = [(index.postings(n), index.idf[n] * np.float32(found[n])) for _, n in numbers]
        self.dropped = [np.sort(index.position_of[masked])] if len(masked) else []
        self.index, self.k, self.eligible = index, k, eligible
        self.best: Rows = np.empty(0, np.int64)

    def cost(self) -> int:
        """Binary searches that the items of the rarest word take."""
        return len(self.words[0][0]) * (len(self.words) - 1 + len(self.dropped))

    def is_settled(self, start: int) -> bool:
        """Whether no item from this position on, scored by the words left, can be among the k best."""
        if len(self.best) < self.k:
            return False
        length = int(np.searchsorted(self.index.length_indptr, start, "right")) - 1
        # summed in the order in which items are, so that float32 rounds the bound no lower than a score
        bound = np.float32(0)
        for _, value in self.words:
            bound += value
        # from here on rows rise within this length, and a longer text scores less: nothing beats this key
        at_best = np.array([bound * self.index.saturations[length]], np.float32)
        return bool(self.best[-1] > _keys(at_best, self.index.rows_by_length[start : start + 1])[0])

    def score_items_of_rarest(self) -> None:
        """Score each item that holds the rarest word left, by all words left."""
        (positions, value), *rest = self.words
        scores = np.full(len(positions), value)
        for others, worth in rest:
            scores[_held(positions, others)] += worth
        is_open = np.ones(len(positions), bool)
        for others in self.dropped:
            is_open[_held(positions, others)] = False
        scores *= self._saturations(positions)
        self._keep(scores[is_open], positions[is_open])
        self.dropped.append(positions)
        self.words = rest

    def score_span(self, start: int, stop: int) -> None:
        """Score the items of these positions by all words left."""
        stop = min(stop, len(self.index.rows_by_length))
        scores = np.zeros(stop - start, np.float32)
        for postings, value in self.words:
            scores[_between(postings, start, stop) - start] += value
        for positions in self.dropped:
            scores[_between(positions, start, stop) - start] = 0
        ends = np.clip(self.index.length_indptr, start, stop)
        scores *= np.repeat(self.index.saturations, np.diff(ends))
        least = _scores(self.best[-1:])[0] if len(self.best) == self.k else np.float32(0)
        found = np.flatnonzero(scores >= least if least else scores)
        self._keep(scores[found], found + start)

    def _saturations(self, positions: Positions) -> Floats:
        """The saturation at each of the positions, which rise."""
        ends = np.searchsorted(positions, self.index.length_indptr.astype(np.int32))
        return np.repeat(self.index.saturations, np.diff(ends))

    def _keep(self, scores: Floats, positions: npt.NDArray[np.integer]) -> None:
        rows = self.index.rows_by_length[positions]
        if self.eligible is not None:
            is_open = self.eligible[rows]
            scores, rows = scores[is_open], rows[is_open]
        keys = np.concatenate([self.best, _keys(scores, rows)])
        if len(keys) > self.k:
            keys = np.partition(keys, len(keys) - self.k)[len(keys) - self.k :]
        self.best = np.sort(keys)[::-1]


def _held(positions: Positions, others: Positions) -> Rows:
    """The places in `positions` of those that are also among `others`; both rise."""
    if not len(positions):
        return np.empty(0, np.int64)
    others = _between(others, int(positions[0]), int(positions[-1]) + 1)
    few, many = (positions, others) if len(positions) <= len(others) else (others, positions)
    if not len(few):
        return np.empty(0, np.int64)
    places = np.searchsorted(many, few)
    places[places == len(many)] = 0
    is_met = many[places] == few
    return np.flatnonzero(is_met) if few is positions else places[is_met]


def _between(positions: Positions, start: int, stop: int) -> Positions:
    first, last = np.searchsorted(positions, np.array([start, stop], np.int64).astype(positions.dtype))
    return positions[first:last]


def _keys(scores: Floats, rows: npt.NDArray[np.integer]) -> Rows:
    """One rising integer for an item's place: floats that are not negative compare as their bits do."""
    return (scores.view(np.uint32).astype(np.int64) << _ROW_BITS) | (_LAST_ROW - rows.astype(np.int64))


def _scores(keys: Rows) -> Floats:
    return (keys >> _ROW_BITS).astype(np.uint32).view(np.float32)


def _rows_and_scores(keys: Rows) -> tuple[Rows, Floats]:
    return _LAST_ROW - (keys & _LAST_ROW), _scores(keys)
