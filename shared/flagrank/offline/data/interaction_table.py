"""Interactions from a table whose columns are known by part: checked, converted, and what was converted is said."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flagrank.errors import DataError
from flagrank.offline.data.interactions import Interactions
from flagrank.offline.data.table import Table
from flagrank.offline.data.times import read_times

MAX_ID_LENGTH = 128
MAX_RATING = 1e15
# what serving takes as an integer id
INTEGER = "^(0|-?[1-9][0-9]{0,17})$"
MAX_INTEGER = 10**18 - 1
SHOWN_EVENTS = 8

type Ids = npt.NDArray[np.int64] | npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Read:
    """The interactions of a file, whether their timestamps are times, and what a reader of them should be told."""

    interactions: Interactions
    timed: bool
    notes: tuple[str, ...]


def read_interactions(table: Table, columns: Mapping[str, str], weights: Mapping[str, float]) -> Read:
    """The interactions of a table's columns by part; raises DataError that names the first row that is wrong.

    A row without a rating counts 1. Without times the row's place counts. With weights an interaction is worth what its
    event counts, and a pair of user and item is worth the most of all its events: a later view takes nothing back.
    """
    table.load(columns)
    ((count,),) = table.query("SELECT count(*) FROM rows")
    if not count:
        raise DataError(str(table.path), None, "holds no interactions")
    problems = [found for part in ("user", "item") if (found := _bad_id(table, part, columns[part]))]
    if "rating" in columns and (found := _bad_rating(table)):
        problems.append(found)
    times = read_times(table, "time") if "time" in columns else None
    if times and times.problem:
        problems.append(times.problem)
    if problems:
        raise table.refuse(*min(problems))
    users, items = _ids(table)
    # the first row is a file's second line
    seconds = times.seconds if times else np.arange(2, count + 2)
    interactions = Interactions(users, items, _values(table, columns, int(count)), seconds)
    notes = []
    if times and times.unit != "seconds":
        notes.append(f"the times in column {columns['time']!r} are {times.unit} and were converted to seconds")
    if "event" in columns:
        interactions, said = _weighted(table, interactions, weights, columns["event"])
        notes.append(said)
    return Read(interactions, times is not None, tuple(f"{table.path}: {note}" for note in notes))


def _bad_id(table: Table, part: str, column: str) -> tuple[int, str] | None:
    is_text = table.type_of(part) == "VARCHAR"
    wrong = f"length({part}) NOT BETWEEN 1 AND {MAX_ID_LENGTH}" if is_text else f"{part} IS NULL"
    ((row,),) = table.query(f"SELECT min(rowid) FROM rows WHERE {wrong}")
    return None if row is None else (int(row), f"expected 1 to {MAX_ID_LENGTH} characters as {column}")


def _bad_rating(table: Table) -> tuple[int, str] | None:
    value = "try_cast(rating AS DOUBLE)"
    given = "rating <> ''" if table.type_of("rating") == "VARCHAR" else "rating IS NOT NULL"
    wrong = f"{given} AND ({value} IS NULL OR isnan({value}) OR {value} <= 0 OR {value} > {MAX_RATING})"
    found = table.query(f"SELECT rowid, rating::VARCHAR FROM rows WHERE {wrong} ORDER BY rowid LIMIT 1")
    if not found:
        return None
    return int(found[0][0]), f"expected a rating above 0 and up to {MAX_RATING:g}, got {found[0][1]!r}"


def _values(table: Table, columns: Mapping[str, str], count: int) -> npt.NDArray[np.float32]:
    if "rating" not in columns:
        return np.ones(count, np.float32)
    found = table.arrays("SELECT coalesce(try_cast(rating AS DOUBLE), 1) AS value FROM rows ORDER BY rowid")["value"]
    return np.asarray(found, np.float32)


def _ids(table: Table) -> tuple[Ids, Ids]:
    # one kind for both: an answer mixes them in one document, and callers expect one type
    integer = all(_are_integers(table, part) for part in ("user", "item"))
    read = _integers if integer else _texts
    return read(table, "user"), read(table, "item")


def _are_integers(table: Table, part: str) -> bool:
    fits = {
        "VARCHAR": f"regexp_full_match({part}, '{INTEGER}')",
        "BIGINT": f"abs({part}::HUGEINT) <= {MAX_INTEGER}",
        # pandas makes floats of integers where one is missing
        "DOUBLE": f"{part} = floor({part}) AND abs({part}) < 9e15",
    }[table.type_of(part)]
    ((found,),) = table.query(f"SELECT bool_and({fits}) FROM rows")
    return bool(found)


def _integers(table: Table, part: str) -> npt.NDArray[np.int64]:
    return np.asarray(table.arrays(f"SELECT {part}::BIGINT AS id FROM rows ORDER BY rowid")["id"], np.int64)


def _texts(table: Table, part: str) -> npt.NDArray[np.str_]:
    # each id becomes a Python text once, not once a row
    kind = table.type_of(part)
    text = f"CASE WHEN {part} = floor({part}) THEN {part}::BIGINT::VARCHAR ELSE {part}::VARCHAR END"
    text = text if kind == "DOUBLE" else f"{part}::VARCHAR"
    distinct = f"SELECT id, row_number() OVER () - 1 AS code FROM (SELECT DISTINCT {text} AS id FROM rows)"
    table.query(f"CREATE OR REPLACE TEMP TABLE codes AS {distinct}")
    names = np.array([name for (name,) in table.query("SELECT id FROM codes ORDER BY code")], np.str_)
    sql = f"SELECT code FROM rows JOIN codes ON codes.id = {text} ORDER BY rows.rowid"
    found: npt.NDArray[np.str_] = names[table.arrays(sql)["code"]]
    return found


def _weighted(
    table: Table, interactions: Interactions, weights: Mapping[str, float], column: str
) -> tuple[Interactions, str]:
    counted = "SELECT event::VARCHAR AS name, count(*) AS count FROM rows GROUP BY 1"
    ranked = f"SELECT *, row_number() OVER (ORDER BY count DESC, name) - 1 AS code FROM ({counted})"
    table.query(f"CREATE OR REPLACE TEMP TABLE events AS {ranked}")
    counts = {str(name): int(count) for name, count in table.query("SELECT name, count FROM events ORDER BY code")}
    if not weights:
        return (
            interactions,
            f"column {column!r} is ignored and each event counts one; give --weights for {_shown(counts)}",
        )
    if unknown := sorted(weights.keys() - counts.keys()):
        raise DataError("--weights", None, f"no event {unknown[0]!r} in {table.path}, which has {_shown(counts)}")
    sql = "SELECT code FROM rows JOIN events ON events.name = rows.event::VARCHAR ORDER BY rows.rowid"
    codes = table.arrays(sql)["code"]
    values = np.array([weights.get(name, 0.0) for name in counts], np.float32)[codes]
    weighed = replace(interactions, values=values).select(values > 0)
    dropped = _shown({name: count for name, count in counts.items() if name not in weights})
    said = f"; without a weight and left out: {dropped}" if dropped else ""
    return _strongest(weighed), f"column {column!r} weighs the interactions{said}"


def _strongest(interactions: Interactions) -> Interactions:
    _, pair = np.unique(interactions.pairs(), return_inverse=True)
    most = np.zeros(int(pair.max(initial=-1)) + 1, np.float32)
    np.maximum.at(most, pair, interactions.values)
    return replace(interactions, values=most[pair])


def _shown(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name or 'none'} ({count})" for name, count in list(counts.items())[:SHOWN_EVENTS])
    return shown + (f" and {len(counts) - SHOWN_EVENTS} more" if len(counts) > SHOWN_EVENTS else "")
