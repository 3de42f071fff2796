"""A request's best items in the baseline's order: columns, of which only what is looked at becomes entries."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

from flagrank.domain import Candidate, Ranked
from flagrank.model.arrays import Rows, Scores
from flagrank.model.factors import Factors
from flagrank.ranking.scoring import stretched


class Entries(Sequence[Ranked]):
    """Entries that are made when they are looked at: ten are listed of a hundred, and of a million items."""

    @abstractmethod
    def at(self, place: int) -> Ranked:
        """The entry at a place, 0 <= `place` < len."""

    @overload
    def __getitem__(self, place: int) -> Ranked: ...
    @overload
    def __getitem__(self, place: slice) -> list[Ranked]: ...
    def __getitem__(self, place: int | slice) -> Ranked | list[Ranked]:
        if isinstance(place, slice):
            return [self.at(each) for each in range(*place.indices(len(self)))]
        return self.at(range(len(self))[place])


class Pool(Entries):
    """The items of the rows (c,), in the order in which they come, with these scores (c,).

    `rows`, raw `scores` and `final_scores` in 0..1 are lists, by place.
    """

    def __init__(self, factors: Factors, rows: Rows, scores: Scores) -> None:
        self._factors = factors
        self.rows: list[int] = rows.tolist()
        self.scores: list[float] = scores.tolist()
        self.final_scores: list[float] = stretched(scores).tolist()
        self._entries: list[Ranked | None] = [None] * len(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def texts(self, count: int) -> list[str]:
        """The texts of the first `count` items, as prompts show them."""
        catalog = self._factors.catalog
        return [catalog[row].text for row in self.rows[:count]]

    def at(self, place: int) -> Ranked:
        """See Entries; made once."""
        entry = self._entries[place]
        if entry is None:
            entry = self._entries[place] = Ranked(self._candidate(place), self.final_scores[place])
        return entry

    def _candidate(self, place: int) -> Candidate:
        factors, row, score = self._factors, self.rows[place], self.scores[place]
        item, is_new = factors.catalog[row], bool(factors.is_new[row])
        return Candidate(row, factors.item_id(row), score, place, item.title, item.category, item.text, is_new)
