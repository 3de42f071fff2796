"""Typed attributes of items, such as price, stock and brand: one plain array each, compared as a whole. Pure."""

import math
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from flagrank.domain import AttributeValue
from flagrank.errors import ArtifactError
from flagrank.model.arrays import Mask

type AttributeType = Literal["number", "integer", "text"]

DOCUMENT = "attributes.json"
NAME = r"[a-z][a-z0-9_]{0,31}"
MAX_ATTRIBUTES = 32
MAX_TEXT = 128

# what stands in an array where an item has no value; a number's is NaN
MISSING_INTEGER = int(np.iinfo(np.int64).min)
MISSING_CODE = -1

DTYPES: Mapping[AttributeType, npt.DTypeLike] = {"number": np.float64, "integer": np.int64, "text": np.int32}
ORDERINGS: Mapping[str, Callable[[Any, Any], Mask]] = {"<": lt, "<=": le, ">": gt, ">=": ge}

# a scan for each value is cheaper than a look-up of each item for as many values
MAX_SCANS = 3

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, eq=False, slots=True)
class Attribute:
    """One attribute of n items: `values` (n,) as float64, as int64, or as int32 codes, which are places in `texts`.

    A missing value is NaN, MISSING_INTEGER or MISSING_CODE. `texts` are in ascending order; only a text has them.
    """

    type: AttributeType
    values: npt.NDArray[Any]
    texts: tuple[str, ...] = ()

    def value(self, row: int) -> AttributeValue | None:
        """An item's value as it was declared; None where it has none."""
        value: AttributeValue = self.values[row].item()
        if self.type == "text":
            return None if value == MISSING_CODE else self.texts[int(value)]
        is_missing = value == MISSING_INTEGER if self.type == "integer" else math.isnan(float(value))
        return None if is_missing else value

    def is_one_of(self, wanted: Sequence[AttributeValue]) -> Mask:
        """Which items have one of the values, (n,) bool."""
        if self.type == "text":
            codes = [code for text in wanted if (code := self._code(str(text))) is not None]
            if len(codes) > MAX_SCANS:
                # the last place is that of the code for a missing value
                is_wanted = np.zeros(len(self.texts) + 1, bool)
                is_wanted[codes] = True
                return is_wanted.take(self.values, mode="wrap")
            wanted = codes
        matches = np.zeros(len(self.values), bool)
        for value in wanted:
            matches |= self.values == value
        return matches

    def compared(self, operator: str, operand: float) -> Mask:
        """Which items' numbers are `<`, `<=`, `>` or `>=` than the operand, (n,) bool; a missing one never is."""
        matches = ORDERINGS[operator](self.values, operand)
        # an integer that is missing is the least of all
        if self.type == "integer" and operator in ("<", "<="):
            matches &= self.values != MISSING_INTEGER
        return matches

    def problem(self, items: int) -> str | None:
        """What is expected of it as an attribute of so many items and does not hold; None if all holds."""
        if self.values.shape != (items,):
            return "one value an item"
        if self.values.dtype != DTYPES[self.type]:
            return f"values of {np.dtype(DTYPES[self.type]).name}"
        if self.type == "number" and np.isinf(self.values).any():
            return "finite or missing values"
        if self.type == "text" and ((self.values < MISSING_CODE) | (self.values >= len(self.texts))).any():
            return "codes in range"
        return None

    def _code(self, text: str) -> int | None:
        place = bisect_left(self.texts, text)
        return place if self.texts[place : place + 1] == (text,) else None


type Attributes = Mapping[str, Attribute]


def encoded(kind: AttributeType, values: Sequence[AttributeValue | None]) -> Attribute:
    """The attribute of n items whose values are given in their order; None where one is missing."""
    if kind == "number":
        return Attribute(kind, np.array([math.nan if value is None else value for value in values], np.float64))
    if kind == "integer":
        return Attribute(kind, np.array([MISSING_INTEGER if value is None else value for value in values], np.int64))
    texts = tuple(sorted({str(value) for value in values if value is not None}))
    codes = {text: code for code, text in enumerate(texts)}
    found = [MISSING_CODE if value is None else codes[str(value)] for value in values]
    return Attribute(kind, np.array(found, np.int32), texts)


def parse_value(kind: AttributeType, raw: str) -> AttributeValue:
    """A value as people write it, for data and filters alike; raises ValueError that says what is expected."""
    text = raw.strip()
    if kind == "integer":
        if not _INTEGER.fullmatch(text):
            raise ValueError(f"an integer of up to 18 digits, got {text[:40]!r}")
        return int(text)
    if kind == "number":
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise ValueError(f"a number such as 49.90, got {text[:40]!r}")
        return float(text)
    if not 1 <= len(text) <= MAX_TEXT:
        raise ValueError(f"a text of 1 to {MAX_TEXT} characters, got {len(text)}")
    # one text has one code, however its accents were typed
    return unicodedata.normalize("NFC", text)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=rf"^{NAME}$")]
    type: AttributeType
    values: tuple[str, ...] = ()


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    attributes: Annotated[tuple[_Entry, ...], Field(min_length=1, max_length=MAX_ATTRIBUTES)]

    @model_validator(mode="after")
    def _is_clear(self) -> Self:
        if len({entry.name for entry in self.attributes}) < len(self.attributes):
            raise ValueError("two attributes of one name")
        for entry in self.attributes:
            if entry.values and entry.type != "text":
                raise ValueError("only a text has values")
            if any(not first < second for first, second in zip(entry.values, entry.values[1:], strict=False)):
                raise ValueError("values that do not ascend")
        return self


def document(attributes: Attributes) -> bytes:
    """`attributes.json`: each attribute's name and type, and a text's values in ascending order."""
    entries = tuple(_Entry(name=name, type=each.type, values=each.texts) for name, each in attributes.items())
    return _Document(attributes=entries).model_dump_json(exclude_defaults=True).encode()


def read_document(data: bytes | bytearray, values_of: Callable[[str], npt.NDArray[Any]]) -> dict[str, Attribute]:
    """The attributes that `attributes.json` declares; `values_of` gives an attribute's array by name.

    Raises ArtifactError for a document that is not as promised.
    """
    try:
        declared = _Document.model_validate_json(data).attributes
    except ValidationError as error:
        raise ArtifactError(f"{DOCUMENT}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error
    return {entry.name: Attribute(entry.type, values_of(entry.name), entry.values) for entry in declared}
