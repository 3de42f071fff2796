"""Plain CSV: `user_id,item_id[,rating][,timestamp]`, with optional item texts and vocabulary beside it.

`items.csv` is `item_id,title[,category][,description]`, and further columns of the form `name:type` declare attributes
that requests and rules filter by: `price:number`, `stock:integer`, `brand:text`. A name is of a-z, 0-9 and _, begins
with a letter and has at most 32 characters. An empty field is a missing value. Columns without a type are ignored.
"""

import csv
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from flagrank.domain import ItemId
from flagrank.errors import DataError
from flagrank.model.factors import Lexicon
from flagrank.offline.data.attribute_columns import AttributeColumns
from flagrank.offline.data.interactions import Dataset, Interactions, Item, ItemAttribute, ids_array

INTERACTIONS = "interactions.csv"
ITEMS = "items.csv"
LEXICON = "lexicon.json"
MAX_ID_LENGTH = 128

MAX_RATING = 1e15
# the year 5138 in seconds, 1973 in milliseconds
MAX_TIMESTAMP = 1e11

type CheckHeader = Callable[[Sequence[str]], None]

_INTEGER = re.compile(r"-?[0-9]{1,18}")


class LexiconFile(BaseModel):
    """`lexicon.json`: synonyms fold a token to another, expansions add what a token implies."""

    model_config = ConfigDict(extra="forbid")

    synonyms: dict[str, str] = {}
    expansions: dict[str, tuple[str, ...]] = {}


def read(path: Path) -> Dataset:
    """A CSV file, or a folder with `interactions.csv` and optional `items.csv` and `lexicon.json`; raises DataError."""
    file = path / INTERACTIONS if path.is_dir() else path
    interactions, timed = _interactions(file)
    integer_ids = bool(np.issubdtype(interactions.items.dtype, np.integer))
    folder = file.parent if path.is_dir() else None
    items, attributes = _items(folder / ITEMS, integer_ids) if folder and (folder / ITEMS).exists() else ({}, {})
    lexicon = _lexicon(folder / LEXICON) if folder and (folder / LEXICON).exists() else Lexicon({}, {})
    return Dataset(path.name, interactions, items, lexicon, timed=timed, attributes=attributes)


def _interactions(path: Path) -> tuple[Interactions, bool]:
    users, items, values, timestamps = [], [], [], []
    timed: bool | None = None
    for line, row in _rows(path, required=("user_id", "item_id"), optional=("rating", "timestamp")):
        users.append(_id(path, line, row, "user_id"))
        items.append(_id(path, line, row, "item_id"))
        values.append(_rating(path, line, row.get("rating") or "1"))
        timestamp = row.get("timestamp") or ""
        timestamps.append(_timestamp(path, line, timestamp) if timestamp else line)
        if timed is None:
            timed = bool(timestamp)
        elif timed != bool(timestamp):
            expected = "expected a timestamp" if timed else "expected no timestamp"
            raise DataError(path.name, line, f"{expected}, as in the rows before: all rows have one, or none has")
    if timed is None:
        raise DataError(path.name, None, "holds no interactions")
    user_ids, item_ids = ids_array(users), ids_array(items)
    if user_ids.dtype.kind != item_ids.dtype.kind:
        # one kind for both: an answer mixes them in one document, and callers expect one type
        user_ids, item_ids = np.array(users, np.str_), np.array(items, np.str_)
    interactions = Interactions(user_ids, item_ids, np.array(values, np.float32), np.array(timestamps, np.int64))
    return interactions, timed


def _items(path: Path, integer_ids: bool) -> tuple[dict[ItemId, Item], dict[str, ItemAttribute]]:
    items: dict[ItemId, Item] = {}
    columns = AttributeColumns(path.name)
    texts = ("item_id", "title"), ("category", "description")
    for line, row in _rows(path, *texts, columns.declare):
        text = _id(path, line, row, "item_id")
        if integer_ids and not _INTEGER.fullmatch(text):
            raise DataError(path.name, line, f"expected an integer item_id as in {INTERACTIONS}, got {text!r}")
        item_id: ItemId = int(text) if integer_ids else text
        items[item_id] = Item(row["title"], row.get("category") or "unknown", row.get("description") or "")
        columns.read(line, item_id, row)
    return items, columns.attributes()


def _lexicon(path: Path) -> Lexicon:
    try:
        found = LexiconFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(path.name, None, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DataError(path.name, None, f"expected synonyms and expansions: {error.errors()[0]['msg']}") from error
    return Lexicon(found.synonyms, found.expansions)


def _rows(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...], check_header: CheckHeader | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            try:
                header = reader.fieldnames or ()
                if any(name not in header for name in required):
                    raise DataError(path.name, 1, f"expected the columns {','.join(required)}[,{'][,'.join(optional)}]")
                if check_header:
                    check_header(header)
                yield from _fields(path, reader)
            except csv.Error as error:
                # the inner reader's number: DictReader's own stays behind when a row fails
                raise DataError(path.name, reader.reader.line_num, f"expected valid CSV: {error}") from error
    except OSError as error:
        raise DataError(path.name, None, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(path.name, None, f"expected UTF-8: {error.reason}") from error


def _fields(path: Path, reader: "csv.DictReader[str]") -> Iterator[tuple[int, dict[str, str]]]:
    for row in reader:
        if None in row or None in row.values():
            raise DataError(path.name, reader.line_num, f"expected {len(reader.fieldnames or ())} fields")
        yield reader.line_num, row


def _id(path: Path, line: int, row: dict[str, str], column: str) -> str:
    value = row[column].strip()
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        raise DataError(path.name, line, f"expected 1 to {MAX_ID_LENGTH} characters as {column}")
    return value


def _rating(path: Path, line: int, text: str) -> float:
    value = _number(text)
    if not 0 < value <= MAX_RATING:
        raise DataError(path.name, line, f"expected a rating above 0 and up to {MAX_RATING:g}, got {text!r}")
    return value


def _timestamp(path: Path, line: int, text: str) -> float:
    value = _number(text)
    if not 0 <= value <= MAX_TIMESTAMP:
        expected = f"expected a timestamp in seconds, not milliseconds, from 0 to {MAX_TIMESTAMP:g}"
        raise DataError(path.name, line, f"{expected}, got {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
