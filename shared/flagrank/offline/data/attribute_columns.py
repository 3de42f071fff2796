"""Columns of the form `name:type`: what they declare, and the values in them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from flagrank.domain import AttributeValue, ItemId
from flagrank.errors import DataError
from flagrank.model.attributes import MAX_ATTRIBUTES, NAME, AttributeType, parse_value
from flagrank.offline.data.interactions import ItemAttribute

TYPES: tuple[AttributeType, ...] = get_args(AttributeType.__value__)

# an attribute of such a name would be taken for the column
RESERVED = frozenset({"item_id", "title", "category", "description"})


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    name: str
    type: AttributeType
    values: dict[ItemId, AttributeValue]


class AttributeColumns:
    """The attributes of one file of items, read row by row after `declare` has seen the header."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._columns: list[_Column] = []

    def declare(self, header: Sequence[str]) -> None:
        """Takes each column that has a type; raises DataError for a bad name, an unknown type, and a second one."""
        self._columns = [self._declared(column) for column in header if ":" in column]
        names = Counter(column.name for column in self._columns)
        for name, count in names.items():
            if count > 1:
                raise DataError(self._file, 1, f"expected one column of the attribute {name!r}, found {count}")
        if len(names) > MAX_ATTRIBUTES:
            raise DataError(self._file, 1, f"expected at most {MAX_ATTRIBUTES} attributes, found {len(names)}")

    def read(self, line: int, item_id: ItemId, row: Mapping[str, str]) -> None:
        """Takes an item's values from its row; raises DataError for one that is not of its column's type."""
        for column in self._columns:
            raw = row[column.header].strip()
            if not raw:
                column.values.pop(item_id, None)
                continue
            try:
                column.values[item_id] = parse_value(column.type, raw)
            except ValueError as error:
                raise DataError(self._file, line, f"expected as {column.name} {error}") from error

    def attributes(self) -> dict[str, ItemAttribute]:
        """What was read, by name."""
        return {column.name: ItemAttribute(column.type, column.values) for column in self._columns}

    def _declared(self, header: str) -> _Column:
        name, _, written = header.partition(":")
        kind = next((known for known in TYPES if known == written), None)
        if kind is None:
            raise DataError(self._file, 1, f"expected the type {', '.join(TYPES)} after the colon in {header!r}")
        if not re.fullmatch(NAME, name) or name in RESERVED:
            expected = "expected an attribute's name of a-z, 0-9 and _, a letter first, of at most 32 characters"
            raise DataError(self._file, 1, f"{expected}, and none of {', '.join(sorted(RESERVED))}, in {header!r}")
        return _Column(header, name, kind, {})
