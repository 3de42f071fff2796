"""The columns of an items' table that become attributes: declared as `name:type`, or typed by the values in them."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from flagrank.domain import AttributeValue, ItemId
from flagrank.errors import DataError
from flagrank.model.attributes import MAX_ATTRIBUTES, MAX_TEXT, NAME, AttributeType, parse_value
from flagrank.offline.data.interactions import ItemAttribute

TYPES: tuple[AttributeType, ...] = get_args(AttributeType.__value__)

# an attribute of such a name would be taken for the column
RESERVED = frozenset({"item_id", "title", "category", "description"})

# gives the error for a row, counted from 0
type Refuse = Callable[[int, str], DataError]


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """A column that becomes an attribute; `type` is None where its values decide."""

    header: str
    name: str
    type: AttributeType | None


def declared(file: str, header: Sequence[str]) -> list[AttributeColumn]:
    """The columns that have a type; raises DataError for a bad name, an unknown type, a second one, and too many."""
    columns = [_declared(file, name) for name in header if ":" in name]
    for name, count in Counter(column.name for column in columns).items():
        if count > 1:
            raise DataError(file, 1, f"expected one column of the attribute {name!r}, found {count}")
    if len(columns) > MAX_ATTRIBUTES:
        raise DataError(file, 1, f"expected at most {MAX_ATTRIBUTES} attributes, found {len(columns)}")
    return columns


def undeclared(header: str) -> AttributeColumn | None:
    """A column without a type as an attribute, under a name that filters can use; None if it has no such name."""
    name = re.sub(r"[^a-z0-9_]+", "_", header.strip().lower())
    return AttributeColumn(header, name, None) if re.fullmatch(NAME, name) and name not in RESERVED else None


def read_values(column: AttributeColumn, ids: Sequence[ItemId], texts: Sequence[str], refuse: Refuse) -> ItemAttribute:
    """The attribute of the items in these rows: an item's last row says what it has, and an empty text is nothing.

    Raises what `refuse` gives for a value that is not of the declared type, and ValueError for a column without a type
    in which a text is too long for an attribute.
    """
    kind = column.type or _type_of(texts)
    values: dict[ItemId, AttributeValue] = {}
    for row, (item_id, text) in enumerate(zip(ids, texts, strict=True)):
        if not text:
            values.pop(item_id, None)
            continue
        try:
            values[item_id] = parse_value(kind, text)
        except ValueError as error:
            raise refuse(row, f"expected as {column.name} {error}") from error
    return ItemAttribute(kind, values)


def _type_of(texts: Sequence[str]) -> AttributeType:
    given = [text for text in texts if text]
    if max(map(len, given), default=0) > MAX_TEXT:
        raise ValueError(f"a text in it is longer than {MAX_TEXT} characters")
    return next(kind for kind in ("integer", "number", "text") if _all_are(kind, given))


def _all_are(kind: Any, texts: Sequence[str]) -> bool:
    try:
        return all(parse_value(kind, text) is not None for text in texts)
    except ValueError:
        return False


def _declared(file: str, header: str) -> AttributeColumn:
    name, _, written = header.partition(":")
    kind = next((known for known in TYPES if known == written), None)
    if kind is None:
        raise DataError(file, 1, f"expected the type {', '.join(TYPES)} after the colon in {header!r}")
    if not re.fullmatch(NAME, name) or name in RESERVED:
        expected = "expected an attribute's name of a-z, 0-9 and _, a letter first, of at most 32 characters"
        raise DataError(file, 1, f"{expected}, and none of {', '.join(sorted(RESERVED))}, in {header!r}")
    return AttributeColumn(header, name, kind)
