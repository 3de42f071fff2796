"""`filter=`: a small typed language over item attributes, such as `price<50,brand=Auralis|Borea,stock>0`. Pure.

    filter  = clause {"," clause}            all clauses hold
    clause  = name operator value {"|" value}
    operator = "=" | "!=" | "<" | "<=" | ">" | ">="

Several values are for `=` (one of them) and `!=` (none of them). A value that holds one of `,|"=!<>` is written in
double quotes, and a double quote in it twice. Blanks around names, operators and values count for nothing. An item
without a value meets `!=` and nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

from flagrank.domain import AttributeValue
from flagrank.errors import InvalidRequest
from flagrank.model.arrays import Mask
from flagrank.model.attributes import NAME, ORDERINGS, Attribute, Attributes, parse_value

MAX_LENGTH = 512
MAX_CLAUSES = 16
MAX_VALUES = 32

FIELD = "filter"
SYNTAX = "write name, operator (= != < <= > >=) and value, such as price<50,brand=Auralis|Borea"

_BEGINNING = re.compile(rf"\s*({NAME})\s*(!=|<=|>=|=|<|>)")
_VALUE = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^,|"=!<>]+))\s*')


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison: an attribute's name, an operator, and the values as they were written."""

    name: str
    operator: str
    values: tuple[str, ...]

    def mask(self, attributes: Attributes) -> Mask:
        """Which items meet it, (n,) bool; raises InvalidRequest for an unknown name or a value of another type."""
        attribute = attributes.get(self.name)
        if attribute is None:
            known = ", ".join(f"{name} ({each.type})" for name, each in attributes.items())
            there_is = f"there is {known}" if known else "these items have no attributes"
            raise InvalidRequest(FIELD, f"no attribute {self.name!r}: {there_is}")
        if self.operator in ORDERINGS and attribute.type == "text":
            raise InvalidRequest(FIELD, f"{self.name} is a text: it takes = and !=, not {self.operator}")
        values = self._typed(attribute)
        if self.operator in ORDERINGS:
            (operand,) = values
            assert not isinstance(operand, str)
            return attribute.compared(self.operator, operand)
        matches = attribute.is_one_of(values)
        return ~matches if self.operator == "!=" else matches

    def _typed(self, attribute: Attribute) -> Sequence[AttributeValue]:
        try:
            return [parse_value(attribute.type, value) for value in self.values]
        except ValueError as error:
            raise InvalidRequest(FIELD, f"{self.name} is compared with {error}") from error


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter as it was parsed: every clause must hold. `text` is what was written."""

    text: str
    clauses: tuple[Clause, ...]

    def mask(self, attributes: Attributes) -> Mask:
        """Which items meet it, (n,) bool; raises InvalidRequest naming `filter` and what the attributes are."""
        return reduce(and_, (clause.mask(attributes) for clause in self.clauses))


def parse_filter(text: str) -> Filter:
    """The filter that a text means; raises InvalidRequest that says where the text stops making sense.

    At most MAX_LENGTH characters, MAX_CLAUSES clauses and, in all of them, MAX_VALUES values.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidRequest(FIELD, f"at most {MAX_LENGTH} characters, got {len(text)}")
    clauses: list[Clause] = []
    end = -1
    while end < len(text):
        clause, end = _clause(text, end + 1)
        clauses.append(clause)
    values = sum(len(clause.values) for clause in clauses)
    if len(clauses) > MAX_CLAUSES or values > MAX_VALUES:
        expected = f"at most {MAX_CLAUSES} comparisons with {MAX_VALUES} values"
        raise InvalidRequest(FIELD, f"{expected}, got {len(clauses)} with {values}")
    return Filter(text, tuple(clauses))


def _clause(text: str, start: int) -> tuple[Clause, int]:
    beginning = _BEGINNING.match(text, start)
    if beginning is None:
        raise _unclear(text, start, "a name and an operator")
    name, operator = beginning.groups()
    values: list[str] = []
    end = beginning.end() - 1
    while not values or text[end : end + 1] == "|":
        found = _VALUE.match(text, end + 1)
        value = _unquoted(found) if found else ""
        if found is None or not value:
            raise _unclear(text, end + 1, "a value")
        values.append(value)
        end = found.end()
    if end < len(text) and text[end] != ",":
        raise _unclear(text, end, "a comma")
    if len(values) > 1 and operator in ORDERINGS:
        raise InvalidRequest(FIELD, f"{name}{operator} takes one value: several are for = and !=")
    return Clause(name, operator, tuple(values)), end


def _unquoted(found: re.Match[str]) -> str:
    quoted, bare = found.groups()
    return (bare or quoted.replace('""', '"')).strip()


def _unclear(text: str, at: int, expected: str) -> InvalidRequest:
    got = repr(text[at : at + 20]) if at < len(text) else "the end"
    return InvalidRequest(FIELD, f"expected {expected} at character {at + 1}, got {got}; {SYNTAX}")
