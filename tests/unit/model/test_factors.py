"""Look-ups over a set of factors."""

from functools import cached_property

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import InvalidRequest
from flagrank.model.catalog import Catalog
from flagrank.model.factors import Factors
from tests.factories import make_factors, make_student


@given(order=st.permutations(list(range(20))), wanted=st.lists(st.integers(90, 130), max_size=10))
def test_item_rows_are_found_in_any_storage_order(order: list[int], wanted: list[int]) -> None:
    """Each known id maps to its row, each unknown one to None, in the order asked for."""
    ids = np.array(order, np.int64) + 100
    factors = make_factors(20, item_ids=ids)
    expected = [ids.tolist().index(item_id) if item_id in ids else None for item_id in wanted]
    assert factors.item_rows(wanted) == expected


def test_string_ids_are_found_and_returned_as_strings() -> None:
    """A catalogue that was trained with strings speaks strings."""
    factors = make_factors(3, 2, item_ids=np.array(["b", "a", "c"]), user_ids=np.array(["u1", "u2"]))
    assert factors.item_rows(["a", "zz", "b"]) == [1, None, 0]
    assert factors.item_id(1) == "a"
    assert factors.parse_id("user_id", 7) == "7"
    assert (factors.user_row("u2"), factors.user_row("u")) == (1, None)


def test_integer_ids_come_back_as_plain_integers() -> None:
    """No numpy scalar leaks into an answer."""
    factors = make_factors()
    assert type(factors.item_id(0)) is int
    assert factors.parse_id("user_id", "0012") == 12


@pytest.mark.parametrize("raw", ["abc", "1.5", "", "1e3", "1_000", " 1", "9" * 19, "\u0663"])
def test_what_is_no_integer_is_refused_by_an_integer_catalogue(raw: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidRequest) as caught:
        make_factors().parse_id("user_id", raw)
    assert caught.value.field == "user_id"


def test_unknown_users_have_no_row() -> None:
    """Ids below, between and above the known ones are unknown."""
    factors = make_factors(users=3, user_ids=np.array([10, 20, 30], np.int64))
    assert [factors.user_row(user_id) for user_id in (5, 10, 15, 30, 99)] == [None, 0, None, 2, None]


@pytest.mark.parametrize("users", [0, 10])
def test_a_warm_set_leaves_nothing_to_the_first_request(users: int) -> None:
    """Whatever is computed once is computed by then, with or without users."""
    factors = make_factors(users=users, student=make_student())
    factors.warm()
    lazy = {name for name, value in vars(Factors).items() if isinstance(value, cached_property)}
    assert lazy
    assert lazy <= vars(factors).keys()


@given(st.lists(st.sampled_from(["audio", "Audio", "", "ünder", "z"]), min_size=1, max_size=20), st.text(max_size=6))
def test_a_category_is_that_of_the_catalogue_s_lines(categories: list[str], other: str) -> None:
    """Exactly the rows of that name, capitals and all; none for a name that no item has."""
    lines = [orjson.dumps({"id": 1, "title": "", "category": category, "text": ""}) for category in categories]
    catalog = Catalog.of(lines)
    for wanted in {*categories, other}:
        assert catalog.in_category(wanted).tolist() == [category == wanted for category in categories]
    assert [sorted(set(categories))[code] for code in catalog.category_codes] == categories
