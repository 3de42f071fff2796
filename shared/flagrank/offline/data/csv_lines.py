"""CSV as Python's strict reader sees it: its header, and the lines of rows and mistakes."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

from flagrank.errors import DataError

DELIMITERS = (",", "\t", ";", "|")


def header_of(path: Path, first_line: str) -> tuple[str, list[str]]:
    """The delimiter and the names in a file's first line: the delimiter that cuts it into the most."""
    if path.name.removesuffix(".gz").removesuffix(".zst").endswith(".tsv"):
        return "\t", next(csv.reader([first_line], delimiter="\t"), [])
    cut = [(delimiter, next(csv.reader([first_line], delimiter=delimiter), [])) for delimiter in DELIMITERS]
    return max(cut, key=lambda found: len(found[1]))


def mistake(path: Path, delimiter: str, fields: int) -> DataError | None:
    """The first row that is no CSV or has not as many fields; None if there is none."""
    try:
        with _opened(path) as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                for row in reader:
                    if row and len(row) != fields:
                        return DataError(str(path), reader.line_num, f"expected {fields} fields")
            except csv.Error as error:
                return DataError(str(path), reader.line_num, f"expected valid CSV: {error}")
    except UnicodeDecodeError as error:
        return DataError(str(path), None, f"expected UTF-8: {error.reason}")
    except (OSError, EOFError) as error:
        return DataError(str(path), None, f"cannot be read: {error}")
    return None


def line_of(path: Path, delimiter: str, row: int) -> int:
    """The line in which a row ends; rows are counted from 0 behind the header, and empty lines are none."""
    with _opened(path) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        for _ in islice(_filled(reader), row + 2):
            pass
        return reader.line_num


def _filled(rows: Iterator[Sequence[str]]) -> Iterator[Sequence[str]]:
    return (row for row in rows if row)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as unpacked:
            yield unpacked
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
