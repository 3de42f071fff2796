"""One file of rows in DuckDB: CSV, JSON lines, both also by gzip or zstd, and Parquet (see decision 0016)."""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from flagrank.errors import ConfigurationError, DataError
from flagrank.offline.data import csv_lines

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")
COMPRESSIONS = (".gz", ".zst")
# of a row of CSV or JSON: a description may be long
MAX_ROW_BYTES = 16 << 20

CSV = """read_csv($path, auto_detect = false, columns = $columns, header = true, delim = $delimiter, quote = '"',
    escape = '"', strict_mode = true, null_padding = false, max_line_size = $longest)"""
JSON = "read_json($path, format = 'newline_delimited', maximum_depth = 1, maximum_object_size = $longest)"
PARQUET = "read_parquet($path)"


@dataclass(frozen=True, slots=True)
class Table:
    """A file whose columns are known; `load` reads those that are wanted into the table `rows` of the connection.

    There a column is BIGINT, DOUBLE, or a text without spaces around it, which is empty where a value is missing. A
    file's own time is microseconds since 1970, and then `times` holds "time". `rowid` is the row's number from 0.
    """

    path: Path
    names: tuple[str, ...]
    connection: "DuckDBPyConnection"
    times: set[str] = field(default_factory=set)
    delimiter: str | None = None
    _source: str = ""
    _parameters: Mapping[str, Any] = field(default_factory=dict)
    _types: Mapping[str, str] = field(default_factory=dict)

    def load(self, columns: Mapping[str, str]) -> None:
        """Reads these columns, by the name that they get, in place of what was read before; raises DataError."""
        selected = ", ".join(f"{self._expression(column, name)} AS {_quoted(name)}" for name, column in columns.items())
        self._run(f"CREATE OR REPLACE TEMP TABLE rows AS SELECT {selected} FROM {self._source}", self._parameters)

    def query(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows that a query over `rows` gives."""
        return self.connection.execute(sql, parameters).fetchall()

    def arrays(self, sql: str) -> dict[str, npt.NDArray[Any]]:
        """The columns that a query over `rows` gives, (n,) each; masked where they hold NULL."""
        return self.connection.execute(sql).fetchnumpy()

    def type_of(self, name: str) -> str:
        """A loaded column's type: BIGINT, DOUBLE or VARCHAR."""
        ((found,),) = self.query(
            "SELECT data_type FROM duckdb_columns() WHERE table_name = 'rows' AND column_name = ?", [name]
        )
        return str(found)

    def refuse(self, row: int, expected: str) -> DataError:
        """What is wrong with a row, counted from 0, in the file's own lines where it has lines that can be counted."""
        if self.delimiter is not None and self.path.suffix != ".zst":
            return DataError(str(self.path), csv_lines.line_of(self.path, self.delimiter, row), expected)
        return DataError(str(self.path), None, f"row {row + 1}: {expected}")

    def _expression(self, column: str, name: str) -> str:
        place, kind = self.names.index(column), self._types.get(column, "TEXT")
        raw = f"c{place}" if self.delimiter is not None else _quoted(column)
        if re.fullmatch(r"TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER", kind):
            return f"{raw}::BIGINT"
        if re.match(r"FLOAT|DOUBLE|DECIMAL", kind):
            return f"CASE WHEN isnan({raw}::DOUBLE) THEN NULL ELSE {raw}::DOUBLE END"
        if name == "time" and re.match(r"DATE|TIMESTAMP", kind):
            self.times.add(name)
            return f"epoch_us({raw}::TIMESTAMPTZ)"
        text = f"{raw} ->> '$'" if kind == "JSON" else f"{raw}::VARCHAR"
        return f"trim(coalesce({text}, ''), E' \\t\\r\\n')"

    def _run(self, sql: str, parameters: Mapping[str, Any]) -> None:
        import duckdb

        try:
            self.connection.execute(sql, {name: value for name, value in parameters.items() if f"${name}" in sql})
        except duckdb.Error as error:
            found = None
            if self.delimiter is not None and self.path.suffix != ".zst":
                found = csv_lines.mistake(self.path, self.delimiter, len(self.names))
            raise found or _unreadable(self.path, error) from error


def open_table(path: Path, connection: "DuckDBPyConnection") -> Table:
    """A file by its kind: by its name, or by how it begins; raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(str(path), None, f"cannot be read: {error.strerror}") from error
    suffixes = [suffix for suffix in path.suffixes if suffix not in COMPRESSIONS]
    kind = suffixes[-1] if suffixes else ""
    parameters: dict[str, Any] = {"path": glob.escape(str(path)), "longest": MAX_ROW_BYTES}
    if kind in (".parquet", ".pq") or start == b"PAR1":
        return _described(path, connection, PARQUET, parameters)
    if kind in (".jsonl", ".ndjson", ".json") or start.lstrip()[:1] == b"{":
        return _described(path, connection, JSON, parameters)
    delimiter, names = csv_lines.header_of(path, _first_line(path, connection))
    columns = {f"c{place}": "VARCHAR" for place in range(len(names))}
    parameters |= {"columns": columns, "delimiter": delimiter}
    return Table(path, tuple(names), connection, set(), delimiter, CSV, parameters)


def connect() -> "DuckDBPyConnection":
    """A database in memory that neither writes files nor fetches anything; raises ConfigurationError without DuckDB."""
    try:
        import duckdb
    except ImportError as error:
        raise ConfigurationError("reading files of data needs duckdb: install flagrank[train]") from error
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": "",
    }
    connection = duckdb.connect(config=settings)
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def _first_line(path: Path, connection: "DuckDBPyConnection") -> str:
    import duckdb

    one_column = "auto_detect = false, columns = {'line': 'VARCHAR'}, header = false, delim = '\x01', quote = ''"
    sql = f"SELECT line FROM read_csv($path, {one_column}, max_line_size = $longest) LIMIT 1"
    try:
        found = connection.execute(sql, {"path": glob.escape(str(path)), "longest": MAX_ROW_BYTES}).fetchone()
    except duckdb.Error as error:
        raise _unreadable(path, error) from error
    return str(found[0] or "").removeprefix("\ufeff") if found else ""


def _described(path: Path, connection: "DuckDBPyConnection", source: str, parameters: Mapping[str, Any]) -> Table:
    import duckdb

    used = {name: value for name, value in parameters.items() if f"${name}" in source}
    try:
        found = connection.execute(f"DESCRIBE SELECT * FROM {source}", used).fetchall()
    except duckdb.Error as error:
        raise _unreadable(path, error) from error
    types = {str(name): str(kind) for name, kind, *_ in found}
    return Table(path, tuple(types), connection, set(), None, source, used, types)


def _unreadable(path: Path, error: Exception) -> DataError:
    text = str(error)
    if "nvalid unicode" in text or "not utf-8" in text:
        return DataError(str(path), None, "expected UTF-8")
    # DuckDB adds its query and advice on its own options behind the first paragraph
    lines = [line.strip() for line in re.split(r"\n\s*\n|Possible", text.partition(": ")[2])[0].splitlines()]
    return DataError(str(path), None, "cannot be read: " + " ".join(line for line in lines if line)[:300])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
