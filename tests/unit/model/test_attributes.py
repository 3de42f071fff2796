"""Item attributes: what is written is what is read, and comparisons hold where they should."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import ArtifactError
from flagrank.model.attributes import (
    MAX_ATTRIBUTES,
    MISSING_INTEGER,
    ORDERINGS,
    Attribute,
    AttributeType,
    document,
    encoded,
    parse_value,
    read_document,
)

TEXTS = st.sampled_from("Auralis Borea Cadmo Esker Juno Tarn Umbra".split())
VALUES: dict[AttributeType, st.SearchStrategy[Any]] = {
    "number": st.sampled_from([-1.5, 0.0, 0.1, 3.0, 49.9, 1e12]),
    "integer": st.sampled_from([-(10**18) + 1, -1, 0, 1, 7, 10**18 - 1]),
    "text": TEXTS,
}


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_equality_is_that_of_the_values(kind: AttributeType, data: st.DataObject) -> None:
    """An item is one of the wanted values if and only if its own value is among them; a missing one never is."""
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=30))
    wanted = data.draw(st.lists(VALUES[kind], max_size=8))
    assert encoded(kind, values).is_one_of(wanted).tolist() == [value in wanted for value in values]


@pytest.mark.parametrize("operator", ORDERINGS)
@pytest.mark.parametrize("kind", ["number", "integer"])
@given(data=st.data())
def test_orderings_are_those_of_the_values(operator: str, kind: AttributeType, data: st.DataObject) -> None:
    """A missing value is neither less nor more than anything."""
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=30))
    operand = data.draw(VALUES[kind])
    expected = [value is not None and bool(ORDERINGS[operator](value, operand)) for value in values]
    assert encoded(kind, values).compared(operator, operand).tolist() == expected


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_an_item_s_value_is_what_was_declared(kind: AttributeType, data: st.DataObject) -> None:
    """As a plain value of its type, and None where none was given."""
    values = data.draw(st.lists(st.none() | VALUES[kind], min_size=1, max_size=10))
    attribute = encoded(kind, values)
    found = [attribute.value(row) for row in range(len(values))]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_values_are_plain_arrays() -> None:
    """float64 with NaN, int64 with a marker, and int32 codes of texts in ascending order."""
    number, integer, text = (
        encoded("number", [2.5, None]),
        encoded("integer", [3, None]),
        encoded("text", ["b", None, "a", "b"]),
    )
    assert number.values.dtype == np.float64
    assert number.values[0] == 2.5
    assert math.isnan(number.values[1])
    assert (integer.values.dtype.name, integer.values.tolist()) == ("int64", [3, MISSING_INTEGER])
    assert (text.values.dtype.name, text.values.tolist(), text.texts) == ("int32", [1, -1, 0, 1], ("a", "b"))


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("integer", " -12 ", -12),
        ("integer", "9" * 18, 10**18 - 1),
        ("number", "49.90", 49.9),
        ("number", "-3", -3.0),
        ("number", "1e3", 1000.0),
        ("text", " Acme, Inc. ", "Acme, Inc."),
        ("text", "Cafe\u0301", "Caf\u00e9"),
    ],
)
def test_values_are_read_as_people_write_them(kind: AttributeType, raw: str, value: object) -> None:
    """Blanks around them count for nothing, and one text has one form."""
    assert parse_value(kind, raw) == value


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("integer", "1.0", "an integer of up to 18 digits, got '1.0'"),
        ("integer", "9" * 19, "an integer of up to 18 digits"),
        ("integer", "٣", "an integer of up to 18 digits"),
        ("integer", "", "an integer of up to 18 digits, got ''"),
        ("number", "1,299", "a number such as 49.90, got '1,299'"),
        ("number", "nan", "a number such as 49.90"),
        ("number", "inf", "a number such as 49.90"),
        ("number", "1e999", "a number such as 49.90"),
        ("number", "1_0", "a number such as 49.90"),
        ("text", " ", "a text of 1 to 128 characters, got 0"),
        ("text", "x" * 129, "a text of 1 to 128 characters, got 129"),
    ],
)
def test_what_is_no_value_of_the_type_is_refused(kind: AttributeType, raw: str, expected: str) -> None:
    """The error says what is expected and shows what came."""
    with pytest.raises(ValueError, match=expected):
        parse_value(kind, raw)


def test_the_document_reads_back_as_it_was_written() -> None:
    """Names, types and texts; the arrays come from their own files."""
    written = {"price": encoded("number", [1.0]), "stock": encoded("integer", [2]), "brand": encoded("text", ["b"])}
    read = read_document(document(written), lambda name: written[name].values)
    assert list(read) == ["price", "stock", "brand"]
    for name, attribute in read.items():
        assert (attribute.type, attribute.texts) == (written[name].type, written[name].texts)
        assert attribute.values is written[name].values


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"attributes": []}',
        b'{"attributes": [{"name": "Price", "type": "number"}]}',
        b'{"attributes": [{"name": "../x", "type": "number"}]}',
        b'{"attributes": [{"name": "price\\n", "type": "number"}]}',
        b'{"attributes": [{"name": "price", "type": "date"}]}',
        b'{"attributes": [{"name": "price", "type": "number"}, {"name": "price", "type": "text"}]}',
        b'{"attributes": [{"name": "price", "type": "number", "values": ["a"]}]}',
        b'{"attributes": [{"name": "brand", "type": "text", "values": ["b", "a"]}]}',
        b'{"attributes": [{"name": "brand", "type": "text", "values": ["a", "a"]}]}',
        b'{"attributes": [%s]}'
        % b",".join(b'{"name": "a%d", "type": "text"}' % number for number in range(MAX_ATTRIBUTES + 1)),
    ],
)
def test_a_document_that_is_unclear_is_refused(data: bytes) -> None:
    """Other names, types, doubles, or values that do not ascend."""
    with pytest.raises(ArtifactError, match=r"^attributes\.json: "):
        read_document(data, lambda name: np.zeros(1))


@pytest.mark.parametrize(
    ("attribute", "problem"),
    [
        (Attribute("number", np.array([1.0, math.nan])), None),
        (Attribute("integer", np.array([1, MISSING_INTEGER])), None),
        (Attribute("text", np.array([0, -1], np.int32), ("a",)), None),
        (Attribute("number", np.zeros(3)), "one value an item"),
        (Attribute("number", np.zeros((2, 1))), "one value an item"),
        (Attribute("number", np.zeros(2, np.float32)), "values of float64"),
        (Attribute("number", np.array(["a", "b"])), "values of float64"),
        (Attribute("integer", np.zeros(2)), "values of int64"),
        (Attribute("text", np.zeros(2, np.int64), ("a",)), "values of int32"),
        (Attribute("number", np.array([1.0, math.inf])), "finite or missing values"),
        (Attribute("text", np.array([0, 1], np.int32), ("a",)), "codes in range"),
        (Attribute("text", np.array([0, -2], np.int32), ("a",)), "codes in range"),
    ],
)
def test_an_array_that_is_not_as_promised_is_named(attribute: Attribute, problem: str | None) -> None:
    """Shape, type, finite numbers and codes within the texts."""
    assert attribute.problem(2) == problem
