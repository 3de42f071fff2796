"""The times of rows: seconds, milliseconds or microseconds since 1970, or ISO 8601. All become seconds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flagrank.offline.data.table import Table

EXPECTED = "expected a timestamp as seconds, milliseconds or microseconds since 1970, or as ISO 8601"
# each unit by the largest number that is taken for it: the year 5138; a second of today is no millisecond after 1970
UNITS = (("seconds", 1e11, 1), ("milliseconds", 1e14, 1_000), ("microseconds", 1e17, 1_000_000))


@dataclass(frozen=True, slots=True)
class Times:
    """`seconds` (n,) int64, the unit in which they were written, and the first wrong row with what is expected."""

    seconds: npt.NDArray[np.int64]
    unit: str
    problem: tuple[int, str] | None = None


def read_times(table: Table, column: str) -> Times | None:
    """The times in a loaded column; None where no row has one."""
    is_text = table.type_of(column) == "VARCHAR"
    given = f"{column} <> ''" if is_text else f"{column} IS NOT NULL"
    ((any_given,),) = table.query(f"SELECT count(*) > 0 FROM rows WHERE {given}")
    if not any_given:
        return None
    if column in table.times:
        return _checked(table, column, f"{column} / 1e6", given, is_iso=True)
    is_iso = False
    if is_text:
        sql = f"SELECT try_cast({column} AS DOUBLE) IS NULL FROM rows WHERE {given} ORDER BY rowid LIMIT 1"
        ((is_iso,),) = table.query(sql)
        if is_iso:
            ((is_iso,),) = table.query(f"SELECT count(try_cast({column} AS TIMESTAMPTZ)) > 0 FROM rows")
    value = f"epoch(try_cast({column} AS TIMESTAMPTZ))" if is_iso else f"try_cast({column} AS DOUBLE)"
    return _checked(table, column, value, given, is_iso=bool(is_iso))


def _checked(table: Table, column: str, value: str, given: str, *, is_iso: bool) -> Times:
    found = table.arrays(f"SELECT ({value})::DOUBLE AS value, {given} AS given FROM rows ORDER BY rowid")
    values = np.ma.filled(found["value"], np.nan)
    has_one = np.asarray(found["given"], bool)
    unit, largest, divisor = UNITS[0] if is_iso else _unit(values)
    smallest = 0.0 if divisor == 1 else largest / 1_000
    with np.errstate(invalid="ignore"):
        is_wrong = has_one & ~((values >= 0) & (values <= largest) & ((values > smallest) | (values == 0)))
        if divisor == 1:
            is_wrong = has_one & ~((values >= 0) & (values <= largest))
    problem = None
    if is_wrong.any() or has_one.all() != has_one.any():
        row = int(np.flatnonzero(is_wrong | (has_one != has_one[0]))[0])
        problem = row, _expected(table, column, row, bool(has_one[0]) == bool(has_one[row]), unit)
    seconds = np.where(np.isfinite(values), values, 0) // divisor
    return Times(seconds.clip(-1e17, 1e17).astype(np.int64), "ISO 8601" if is_iso else unit, problem)


def _unit(values: npt.NDArray[np.float64]) -> tuple[str, float, int]:
    # what most rows have, so that the row that differs is the one that is named
    usual = float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
    return next((unit for unit in UNITS if usual <= unit[1]), UNITS[0])


def _expected(table: Table, column: str, row: int, as_before: bool, unit: str) -> str:
    ((got,),) = table.query(f"SELECT {column}::VARCHAR FROM rows WHERE rowid = ?", [row])
    if as_before:
        return f"{EXPECTED}, in {unit} as most rows here, got {got!r}"
    return f"expected {'a' if not got else 'no'} timestamp, as in the rows before: all rows have one, or none has"
