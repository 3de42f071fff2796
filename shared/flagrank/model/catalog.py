"""The items of a set as people and prompts read them."""

import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import orjson

from flagrank.domain import ItemId
from flagrank.model.arrays import Ids, Mask

# catalogue lines that are parsed at a time: few, since their objects then stay in the processor's cache, and since no
# other thread gets its turn meanwhile (a million lines: 1.2 s of CPU by 128, 1.9 s by 2,048)
CHUNK = 256

# some 5 MB
MAX_PARSED = 10_000

_LINE_BREAK = ord("\n")


@dataclass(frozen=True, slots=True)
class CatalogItem:
    """What is known of an item besides its factors; `text` is rewritten already (see `intent.rewrite_item`)."""

    title: str
    category: str
    text: str

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """The item of a line of `catalog.jsonl`."""
        entry = orjson.loads(line)
        return cls(title=entry["title"], category=entry["category"], text=entry["text"])

    def to_line(self, item_id: ItemId) -> bytes:
        """The item as a line of `catalog.jsonl`, without a line break."""
        return orjson.dumps({"id": item_id, "title": self.title, "category": self.category, "text": self.text})


class Catalog:
    """Items by row, parsed from JSON lines only when asked for: a cold start must not pay for a million titles.

    The lines are one piece of memory and where each ends: a million objects would take longer to make than to read.
    What was asked for is remembered up to MAX_PARSED items: the same few are candidates again and again.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LINE_BREAK)
        if data and (not len(ends) or ends[-1] != len(data) - 1):
            ends = np.append(ends, len(data))
        self._ends = ends
        self._parsed: dict[int, CatalogItem] = {}

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> Self:
        """The catalogue of these lines, which have no line breaks."""
        return cls(b"".join(line + b"\n" for line in lines))

    def __len__(self) -> int:
        return len(self._ends)

    def lines(self, start: int, stop: int) -> list[bytes]:
        """The lines of the rows from one to another; at least one."""
        first = int(self._ends[start - 1]) + 1 if start else 0
        ends = self._ends[start:stop].tolist()
        begins = [first, *(end + 1 for end in ends[:-1])]
        return [bytes(self.data[begin:end]) for begin, end in zip(begins, ends, strict=True)]

    def __getitem__(self, row: int) -> CatalogItem:
        item = self._parsed.get(row)
        if item is None:
            if len(self._parsed) >= MAX_PARSED:
                self._parsed = {}
            if not 0 <= row < len(self):
                raise IndexError(f"row {row} of a catalogue of {len(self)}")
            item = self._parsed[row] = CatalogItem.from_line(self.lines(row, row + 1)[0])
        return item

    @property
    def category_codes(self) -> npt.NDArray[np.intp]:
        """Every row's category as a number, (n,): its place among the categories in alphabetical order."""
        return self._categories[1]

    @property
    def categories(self) -> list[str]:
        """The categories in alphabetical order."""
        return self._categories[0]

    def in_category(self, category: str) -> Mask:
        """Which rows are of a category, (n,) bool; none for one that does not exist."""
        names, codes = self._categories
        place = bisect_left(names, category)
        # numbers are compared a hundred times faster than texts
        matches: Mask = codes == (place if names[place : place + 1] == [category] else -1)
        return matches

    def broken_rules(self, item_ids: Ids) -> list[str]:
        """The rules that the lines break as those of the items with these ids; any row can be parsed if there are none.

        What it parses for that, it keeps the categories of.
        """
        categories: list[str] = []
        for start in range(0, len(self), CHUNK):
            try:
                ids, titles, kinds, texts = _columns(self.lines(start, min(start + CHUNK, len(self))))
            except (orjson.JSONDecodeError, LookupError, TypeError):
                return ["an id, title, category and text in every line of the catalogue"]
            if set(map(type, chain(titles, kinds, texts))) - {str}:
                return ["titles, categories and texts that are texts"]
            expected = item_ids[start : start + CHUNK].tolist()
            # true equals 1, but is no id
            if ids != expected or set(map(type, ids)) != set(map(type, expected)):
                return ["catalogue lines in the order of the ids"]
            categories += map(sys.intern, kinds)
        self._categories = _coded(categories)
        return []

    @cached_property
    def _categories(self) -> tuple[list[str], npt.NDArray[np.intp]]:
        return _coded([orjson.loads(line)["category"] for line in self.lines(0, len(self))])


def _columns(lines: list[bytes]) -> Iterator[list[Any]]:
    entries = list(map(orjson.loads, lines))
    return (list(map(itemgetter(name), entries)) for name in ("id", "title", "category", "text"))


def _coded(categories: list[str]) -> tuple[list[str], npt.NDArray[np.intp]]:
    names = sorted(set(categories))
    code_of = {name: code for code, name in enumerate(names)}
    return names, np.fromiter(map(code_of.__getitem__, categories), np.intp, len(categories))
