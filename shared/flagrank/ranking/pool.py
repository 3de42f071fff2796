"""A request's best items in the baseline's order: arrays, of which only what is looked at becomes entries."""

from collections.abc import Sequence
from typing import overload

from flagrank.domain import Candidate, Ranked
from flagrank.model.arrays import Rows, Scores
from flagrank.model.factors import Factors
from flagrank.ranking.scoring import stretched


class Pool(Sequence[Ranked]):
    """The items of the rows (c,), in the order in which they come, with these scores (c,).

    An entry is made when it is first looked at: a list of ten comes of a pool of a hundred, and of a million items.
    """

    def __init__(self, factors: Factors, rows: Rows, scores: Scores) -> None:
        self._factors = factors
        self._rows: list[int] = rows.tolist()
        self._scores: list[float] = scores.tolist()
        self._final_scores: list[float] = stretched(scores).tolist()
        self._entries: list[Ranked | None] = [None] * len(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Ranked: ...
    @overload
    def __getitem__(self, place: slice) -> list[Ranked]: ...
    def __getitem__(self, place: int | slice) -> Ranked | list[Ranked]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        entry = self._entries[place]
        if entry is None:
            entry = self._entries[place] = self._entry(place)
        return entry

    def _entry(self, place: int) -> Ranked:
        factors, row = self._factors, self._rows[place]
        item, is_new = factors.catalog[row], bool(factors.is_new[row])
        item_id, score = factors.item_id(row), self._scores[place]
        candidate = Candidate(row, item_id, score, place, item.title, item.category, item.text, is_new)
        return Ranked(candidate, self._final_scores[place])
