"""Filters, stock and rules on attributes, through the whole pipeline and in every arm."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.errors import InvalidRequest
from flagrank.flags.document import FlagDocument
from flagrank.model.attributes import encoded
from flagrank.model.filters import parse_filter
from flagrank.serving.api import answer_document
from tests.factories import make_attributes, make_factors
from tests.wiring import Wired, ids

TREATED = FlagDocument(enabled=True, percent=100, alpha=0.0)
CONTROL = FlagDocument(enabled=True, percent=0)
FLAGS = pytest.mark.parametrize("flag", [CONTROL, TREATED])
ITEMS = 200
FACTORS = make_factors(ITEMS, attributes=make_attributes(ITEMS))
IN_STOCK = {100 + row for row in range(ITEMS) if row % 10}


def wired(flag: FlagDocument = TREATED, rules: str = "{}") -> Wired:
    """A service over a set with attributes."""
    return Wired(flag, environment={"FLAGRANK_RULES": rules}, factors=FACTORS)


def matching(text: str) -> set[int]:
    """The ids of the items in stock that meet a filter."""
    return {100 + row for row in np.flatnonzero(parse_filter(text).mask(FACTORS.attributes)).tolist()} & IN_STOCK


@settings(max_examples=40, deadline=None)
@given(
    percent=st.sampled_from([0, 100]),
    user_id=st.sampled_from([1, 7, 424242]),
    wanted=st.sampled_from(
        [None, "price<50", "brand=brand 3", "price>=9,price<30,brand!=brand 1", "stock>8", "price<0"]
    ),
    category=st.sampled_from([None, "audio"]),
    require=st.sampled_from(["price<150", "brand!=brand 2"]),
    pins=st.lists(st.integers(100, 299), max_size=4, unique=True),
    top_k=st.integers(1, 100),
)
def test_no_arm_lists_what_filter_stock_or_rules_leave_out(
    percent: int, user_id: int, wanted: str | None, category: str | None, require: str, pins: list[int], top_k: int
) -> None:
    """Pins included; and the list is as full as what is left allows, for known and for cold users."""
    rules = f'{{"exclude": "price>=190", "require": "{require}", "pin": {pins}, "category_cap": 4, "mmr_lambda": 0.9}}'
    flag = FlagDocument(enabled=True, percent=percent, alpha=0.0)
    answer = wired(flag, rules).recommend(user_id, query="wireless", filter=wanted, category=category, top_k=top_k)
    allowed = matching("price<190") & matching(require) & (IN_STOCK if wanted is None else matching(wanted))
    if category is not None:
        allowed &= {100 + row for row in np.flatnonzero(FACTORS.catalog.in_category(category)).tolist()}
    row = FACTORS.user_row(user_id)
    seen = {FACTORS.item_id(item) for item in FACTORS.seen(row)} if row is not None else set()
    assert {*ids(answer)} <= allowed - seen
    assert len(answer.items) == min(top_k, len(allowed - seen))


def test_a_filter_finds_the_best_of_what_it_leaves() -> None:
    """Exact under the early stop: the filtered list begins with what the filter leaves of the whole one."""
    whole = ids(wired(CONTROL).recommend(top_k=100))
    cheap = matching("price<60")
    expected = [item_id for item_id in whole if item_id in cheap]
    assert ids(wired(CONTROL).recommend(top_k=100, filter="price<60"))[: len(expected)] == expected


@FLAGS
def test_an_explained_item_shows_its_attributes(flag: FlagDocument) -> None:
    """Each by its declared name and as a plain value; an answer that is not explained does not read them."""
    explained, plain = (wired(flag).recommend(top_k=3, query="wireless", explain=explain) for explain in (True, False))
    (first, *_) = answer_document(explained, explain=True)["items"]
    row = first["item_id"] - 100
    assert first["attributes"] == {"price": row + 0.5, "stock": row % 10, "brand": f"brand {row % 5}"}
    assert ids(explained) == ids(plain)
    assert not any(entry.candidate.attributes for entry in plain.items)


def test_a_value_that_an_item_does_not_have_is_not_explained() -> None:
    """A set without attributes shows none, and so does an item without a value."""
    attributes = {"price": encoded("number", [None] * ITEMS), "brand": encoded("text", [None] * ITEMS)}
    for factors in (make_factors(ITEMS), make_factors(ITEMS, attributes=attributes)):
        answer = Wired(CONTROL, factors=factors).recommend(explain=True)
        assert all(item["attributes"] == {} for item in answer_document(answer, explain=True)["items"])


@FLAGS
def test_a_filter_that_nothing_meets_is_an_empty_list(flag: FlagDocument) -> None:
    """No error, and nobody is asked about nothing."""
    service = wired(flag)
    assert service.recommend(query="wireless", filter="price<0").items == ()
    assert service.llm.prompts == []


def test_a_pin_that_is_out_of_stock_is_not_listed() -> None:
    """An operator's pin does not sell what is not there; the next pin comes first."""
    answer = wired(CONTROL, '{"pin": [100, 105]}').recommend()
    assert ids(answer)[0] == 105
    assert 100 not in ids(answer)


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("price<", "expected a value at character 7"),
        ("colour=red", "no attribute 'colour': there is price (number), stock (integer), brand (text)"),
        ("stock>1.5", "stock is compared with an integer of up to 18 digits"),
    ],
)
def test_a_filter_that_makes_no_sense_is_the_caller_s_error(wanted: str, problem: str) -> None:
    """It names the field and what is possible, and is no failure of an arm."""
    service = wired()
    with pytest.raises(InvalidRequest) as raised:
        service.recommend(filter=wanted)
    assert raised.value.field == "filter"
    assert raised.value.problem.startswith(problem)
    assert service.metrics.records == []


def test_a_rule_that_the_set_does_not_know_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and everybody is served as if it were not there."""
    lists: list[Any] = [ids(wired(CONTROL, rules).recommend()) for rules in ("{}", '{"exclude": "colour=red"}')]
    assert lists[0] == lists[1]
    assert "the rule 'colour=red' is ignored for this set" in caplog.text
