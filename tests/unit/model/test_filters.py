"""The filter language: what it means, held to a brute-force reading, and what it refuses."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.errors import InvalidRequest
from flagrank.model.attributes import ORDERINGS, AttributeType, encoded
from flagrank.model.filters import MAX_CLAUSES, MAX_LENGTH, MAX_VALUES, Clause, Filter, parse_filter

TYPES: dict[str, AttributeType] = {"price": "number", "stock": "integer", "brand": "text"}
VALUES: dict[str, list[Any]] = {
    "price": [0.0, 9.99, 49.9, 50.0, -1.25],
    "stock": [-1, 0, 1, 250],
    "brand": ["Auralis", "Borea", "Acme, Inc.", 'The "Shop"', "a|b=c", "Ünder <5>"],
}
ITEMS: dict[str, list[Any]] = {"price": [10.0, None], "stock": [0, None], "brand": ["Auralis", None]}
SMALL = {name: encoded(TYPES[name], values) for name, values in ITEMS.items()}


def written(value: Any) -> str:
    """A value as a filter holds it, in quotes where it needs them."""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',|"=!<>') else text


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, str, list[Any]]:
    name = draw(st.sampled_from(sorted(TYPES)))
    operators = ["=", "!="] if TYPES[name] == "text" else ["=", "!=", *ORDERINGS]
    operator = draw(st.sampled_from(operators))
    most = 1 if operator in ORDERINGS else 6
    return name, operator, draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=most))


def holds(value: Any, operator: str, wanted: list[Any]) -> bool:
    """The brute-force reading of one comparison."""
    if operator in ORDERINGS:
        return value is not None and bool(ORDERINGS[operator](value, wanted[0]))
    return (value in wanted) == (operator == "=")


@settings(max_examples=200)
@given(data=st.data(), clauses=st.lists(comparisons(), min_size=1, max_size=4), blank=st.sampled_from(["", " ", "\t "]))
def test_a_filter_means_what_brute_force_says(
    data: st.DataObject, clauses: list[tuple[str, str, list[Any]]], blank: str
) -> None:
    """Every clause holds for every item of the mask and for no other, whatever the values, gaps and quotes."""
    items = data.draw(
        st.lists(st.tuples(*(st.none() | st.sampled_from(VALUES[name]) for name in TYPES)), min_size=1, max_size=20)
    )
    columns = dict(zip(TYPES, zip(*items, strict=True), strict=True))
    attributes = {name: encoded(TYPES[name], columns[name]) for name in TYPES}
    text = ",".join(
        blank.join(["", name, operator, f"{blank}|{blank}".join(map(written, wanted)), ""])
        for name, operator, wanted in clauses
    )
    expected = [
        all(holds(columns[name][row], operator, wanted) for name, operator, wanted in clauses)
        for row in range(len(items))
    ]
    assert parse_filter(text).mask(attributes).tolist() == expected


def test_a_filter_is_a_frozen_value() -> None:
    """Names, operators and values as they were written."""
    text = 'price<50,brand=Auralis|"Acme, Inc."'
    expected = (Clause("price", "<", ("50",)), Clause("brand", "=", ("Auralis", "Acme, Inc.")))
    assert parse_filter(text) == Filter(text, expected)
    assert hash(parse_filter(text)) == hash(parse_filter(text))


def test_a_missing_value_meets_unequal_and_nothing_else() -> None:
    """Unequal is what equal is not; nothing is known of the rest."""
    for name, value in (("price", "10"), ("stock", "0"), ("brand", "Auralis")):
        assert parse_filter(f"{name}={value}").mask(SMALL).tolist() == [True, False]
        assert parse_filter(f"{name}!={value}").mask(SMALL).tolist() == [False, True]


def test_a_text_that_no_item_has_is_no_error() -> None:
    """A brand that is sold out of the catalogue leaves an empty list, not a broken page."""
    assert parse_filter("brand=Nobody").mask(SMALL).tolist() == [False, False]
    assert parse_filter("brand!=Nobody").mask(SMALL).tolist() == [True, True]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a name and an operator at character 1, got the end; write name, operator"),
        ("   ", "expected a name and an operator at character 1"),
        ("price", "expected a name and an operator at character 1, got 'price'"),
        ("Price<5", "expected a name and an operator at character 1, got 'Price<5'"),
        ("price<50,", "expected a name and an operator at character 10, got the end"),
        ("price<50,,stock>0", "expected a name and an operator at character 10, got ',stock>0'"),
        ("price<", "expected a value at character 7, got the end"),
        ("price==5", "expected a value at character 7, got '=5'"),
        ("brand=", "expected a value at character 7"),
        ("brand= ", "expected a value at character 7"),
        ("brand=a|", "expected a value at character 9"),
        ("brand=|a", "expected a value at character 7"),
        ('brand="a', "expected a value at character 7"),
        ('brand=""', "expected a value at character 7"),
        ('brand="a"b', "expected a comma at character 10, got 'b'"),
        ("price<5;stock>0", "expected a comma at character 14, got '>0'"),
        ("price<5|6", "price< takes one value: several are for = and !="),
        ("x" * (MAX_LENGTH + 1), f"at most {MAX_LENGTH} characters, got {MAX_LENGTH + 1}"),
        (",".join(["a<5"] * (MAX_CLAUSES + 1)), f"at most {MAX_CLAUSES} comparisons with {MAX_VALUES} values, got"),
        ("a=" + "|".join(["5"] * (MAX_VALUES + 1)), f"at most {MAX_CLAUSES} comparisons with {MAX_VALUES} values, got"),
    ],
)
def test_a_text_that_is_no_filter_is_refused(text: str, problem: str) -> None:
    """The error names the field, says where, and what is expected there."""
    with pytest.raises(InvalidRequest) as raised:
        parse_filter(text)
    assert raised.value.field == "filter"
    assert raised.value.problem.startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colour=red", "no attribute 'colour': there is price (number), stock (integer), brand (text)"),
        ("brand<B", "brand is a text: it takes = and !=, not <"),
        ("stock>0.5", "stock is compared with an integer of up to 18 digits, got '0.5'"),
        ("price<cheap", "price is compared with a number such as 49.90, got 'cheap'"),
        ("price=10|cheap", "price is compared with a number such as 49.90, got 'cheap'"),
        (f"brand={'x' * 129}", "brand is compared with a text of 1 to 128 characters, got 129"),
    ],
)
def test_a_filter_that_the_attributes_do_not_know_is_refused(text: str, problem: str) -> None:
    """An unknown name or a value of another type: the error says what there is."""
    with pytest.raises(InvalidRequest) as raised:
        parse_filter(text).mask(SMALL)
    assert (raised.value.field, raised.value.problem) == ("filter", problem)


def test_a_set_without_attributes_says_so() -> None:
    """There is nothing to choose from."""
    with pytest.raises(InvalidRequest, match="no attribute 'price': these items have no attributes"):
        parse_filter("price<5").mask({})


@given(st.text(alphabet='ab<>=!|,"5 ', max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No text makes the parser fail in another way, and what it takes it reads in full."""
    try:
        parsed = parse_filter(text)
    except InvalidRequest:
        return
    assert parsed.clauses
