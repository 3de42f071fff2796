"""Files of rows: interactions, and beside them items and a vocabulary (`infra/your-data.md` says what is understood).

A folder holds `interactions`, `ratings` or `events`, and may hold `items`, `products` or `movies`, each as CSV, TSV,
JSON lines or Parquet, compressed or not, and `lexicon.json`.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from flagrank.errors import DataError
from flagrank.model.factors import Lexicon
from flagrank.offline.data.column_names import INTERACTION_NAMES, ITEM_NAMES, Reading, recognised
from flagrank.offline.data.interaction_table import read_interactions
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.item_table import Items, items_of_events, read_items
from flagrank.offline.data.table import COMPRESSIONS, SUFFIXES, Table, connect, open_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

INTERACTIONS = ("interactions", "ratings", "events")
ITEMS = ("items", "products", "movies")
LEXICON = "lexicon.json"


class LexiconFile(BaseModel):
    """`lexicon.json`: synonyms fold a token to another, expansions add what a token implies."""

    model_config = ConfigDict(extra="forbid")

    synonyms: dict[str, str] = {}
    expansions: dict[str, tuple[str, ...]] = {}


def read(path: Path, reading: Reading | None = None) -> Dataset:
    """A file of interactions, or a folder with more beside it; raises DataError naming file, line and what to do."""
    reading = reading or Reading()
    folder = path if path.is_dir() else None
    file = _file_of(folder, INTERACTIONS) if folder else path
    if file is None:
        raise DataError(str(path), None, f"holds none of {', '.join(INTERACTIONS)} as {', '.join(SUFFIXES)}")
    items_file = _file_of(folder, ITEMS) if folder else None
    with closing(connect()) as connection:
        table = open_table(file, connection)
        columns = _interaction_columns(table, reading)
        found = read_interactions(table, columns, reading.weights)
        integer_ids = bool(np.issubdtype(found.interactions.items.dtype, np.integer))
        texts = {} if items_file else recognised(table.names, ITEM_NAMES, reading.columns)
        said = items_of_events(table, {**texts, "item": columns["item"]}, columns.values(), integer_ids)
        items = _items(items_file, connection, reading, integer_ids) if items_file else said
    notes = (*found.notes, *said.notes, *(items.notes if items_file else ()))
    return Dataset(
        path.name,
        found.interactions,
        items.items,
        _lexicon(folder / LEXICON) if folder and (folder / LEXICON).exists() else Lexicon({}, {}),
        timed=found.timed,
        attributes=items.attributes,
        notes=notes,
    )


def _interaction_columns(table: Table, reading: Reading) -> dict[str, str]:
    columns = _columns(
        table, INTERACTION_NAMES, reading.columns, ("user", "item"), "user_id,item_id[,rating][,timestamp]"
    )
    if reading.weights:
        if "event" not in columns:
            raise DataError(
                "--weights", None, f"{table.path} has no column of event types; name it: --columns event=NAME"
            )
        # what an event counts takes the place of a rating
        columns.pop("rating", None)
    return columns


def _items(file: Path, connection: "DuckDBPyConnection", reading: Reading, integer_ids: bool) -> Items:
    table = open_table(file, connection)
    chosen = {part: name for part, name in reading.columns.items() if name in table.names}
    columns = _columns(table, ITEM_NAMES, chosen, ("item", "title"), "item_id,title[,category][,description]")
    return read_items(table, columns, integer_ids)


def _columns(
    table: Table, names: Mapping[str, tuple[str, ...]], chosen: Mapping[str, str], required: Sequence[str], example: str
) -> dict[str, str]:
    for part, name in chosen.items():
        if part in INTERACTION_NAMES and name not in table.names:
            known = ", ".join(table.names)
            raise DataError("--columns", None, f"{table.path} has no column {name!r} for {part}; it has {known}")
    found = recognised(table.names, names, chosen)
    if any(part not in found for part in required):
        expected = f"expected the columns {example} or names like them; name others with --columns"
        raise DataError(str(table.path), 1, f"{expected} ({', '.join(f'{part}=NAME' for part in required)})")
    if repeated := [name for name in found.values() if table.names.count(name) > 1]:
        raise DataError(
            str(table.path), 1, f"expected one column {repeated[0]!r}, found {table.names.count(repeated[0])}"
        )
    return found


def _file_of(folder: Path, names: Sequence[str]) -> Path | None:
    """The file of one of these names in the folder, whatever its kind; raises DataError if there are two."""
    kinds = [suffix + packed for suffix in SUFFIXES for packed in ("", *COMPRESSIONS)]
    for name in names:
        found = [folder / (name + kind) for kind in kinds if (folder / (name + kind)).exists()]
        if len(found) > 1:
            raise DataError(
                str(found[1]), None, f"lies beside {found[0].name}; keep one of them, or name a file as --data"
            )
        if found:
            return found[0]
    return None


def _lexicon(path: Path) -> Lexicon:
    try:
        found = LexiconFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(str(path), None, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DataError(str(path), None, f"expected synonyms and expansions: {error.errors()[0]['msg']}") from error
    return Lexicon(found.synonyms, found.expansions)
