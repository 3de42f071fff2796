"""The operator's rules over one set: what they leave, and what becomes of a rule that the set does not know."""

import gc
import logging
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.model.attributes import Attributes, encoded
from flagrank.ranking.rules import RuleSet
from flagrank.serving import resolve_rules as module
from flagrank.serving.resolve_rules import RulesBySet, resolve_rules
from tests.factories import make_factors

PRICES = [5.0, 15.0, None, 80.0, 5.0, 60.0]
STOCK = [1, 0, None, -2, 7, 7]
BRANDS = ["A", "B", "A", None, "C", "A"]
ATTRIBUTES: Attributes = {
    "price": encoded("number", PRICES),
    "stock": encoded("integer", STOCK),
    "brand": encoded("text", BRANDS),
}


def listed(rules: RuleSet, attributes: Attributes) -> list[int]:
    """The rows that the rules leave."""
    eligible = resolve_rules(rules, make_factors(6, attributes=attributes)).eligible
    return list(range(6)) if eligible is None else np.flatnonzero(eligible).tolist()


def without_stock() -> Attributes:
    """The attributes on which nothing acts by itself."""
    return {name: attribute for name, attribute in ATTRIBUTES.items() if name != "stock"}


def test_what_is_out_of_stock_is_not_listed() -> None:
    """None left, or fewer than none; of an item whose stock is unknown nothing is known."""
    assert listed(RuleSet(), ATTRIBUTES) == [0, 2, 4, 5]


def test_stock_may_be_a_number() -> None:
    """Half a metre of cloth is in stock."""
    assert listed(RuleSet(), {"stock": encoded("number", [0.5, 0.0, None, 1, 1, 1])}) == [0, 2, 3, 4, 5]


def test_a_stock_that_is_text_takes_nothing_out_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can tell which text means that nothing is left."""
    assert listed(RuleSet(), {"stock": encoded("text", ["no"] * 6)}) == [0, 1, 2, 3, 4, 5]
    assert "Declare it as an integer" in caplog.text


@pytest.mark.parametrize(
    ("rules", "rows"),
    [
        (RuleSet(), [0, 1, 2, 3, 4, 5]),
        (RuleSet(require="brand=A"), [0, 2, 5]),
        (RuleSet(exclude="brand=A"), [1, 3, 4]),
        (RuleSet(exclude=["brand=A", "price>50"]), [1, 4]),
        (RuleSet(require=["brand=A|C", "price<50"]), [0, 4]),
        (RuleSet(require="brand=A", exclude="price>50"), [0, 2]),
        (RuleSet(require="brand=Nobody"), []),
    ],
)
def test_all_of_require_and_none_of_exclude_is_listed(rules: RuleSet, rows: list[int]) -> None:
    """An item without a value meets no comparison but unequal, so it is neither required nor excluded."""
    assert listed(rules, without_stock()) == rows


@given(
    require=st.lists(st.sampled_from(["price<20", "brand!=C", "brand=A|B"]), max_size=3),
    exclude=st.lists(st.sampled_from(["price>=60", "brand=B", "price=5"]), max_size=3),
)
def test_rules_and_stock_hold_together(require: list[str], exclude: list[str]) -> None:
    """What is left is what every rule alone leaves."""
    alone = [RuleSet(require=rule) for rule in require] + [RuleSet(exclude=rule) for rule in exclude]
    expected = set(listed(RuleSet(), ATTRIBUTES))
    for rules in alone:
        expected &= set(listed(rules, without_stock()))
    assert set(listed(RuleSet(require=require, exclude=exclude), ATTRIBUTES)) == expected


def test_a_set_on_which_no_rule_acts_has_no_mask() -> None:
    """Nothing is compared in a request where everything may be listed."""
    assert resolve_rules(RuleSet(), make_factors()).eligible is None
    all_there = {"stock": encoded("integer", [1] * 6)}
    assert resolve_rules(RuleSet(), make_factors(6, attributes=all_there)).eligible is None


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("colour=red", "no attribute 'colour': there is price (number), stock (integer), brand (text)"),
        ("brand<B", "brand is a text"),
        ("stock=many", "stock is compared with an integer"),
    ],
)
def test_a_rule_that_the_set_does_not_know_is_ignored_and_logged_once(
    caplog: pytest.LogCaptureFixture, rule: str, problem: str
) -> None:
    """Once for the set and not for each request, and the other rules stay in force."""
    rules, factors = (
        RulesBySet(RuleSet(require=rule, exclude=[rule, "brand=B"])),
        make_factors(6, attributes=ATTRIBUTES),
    )
    with caplog.at_level(logging.WARNING, module.__name__):
        kept = [rules.over(factors).eligible for _ in range(3)][-1]
    assert kept is not None
    assert np.flatnonzero(kept).tolist() == [0, 2, 4, 5]
    assert len(caplog.records) == 2
    assert all(rule in record.message and problem in record.message for record in caplog.records)


def test_rules_are_worked_out_once_for_a_set() -> None:
    """Each set has its own, and keeps it; a set that no longer serves is not held on to."""
    rules = RulesBySet(RuleSet(block=(100, "typo", 9999), pin=(103,)))
    first, second = make_factors(), make_factors(seed=1)
    assert rules.over(first) is rules.over(first)
    assert rules.over(second) is not rules.over(first)
    assert (rules.over(first).blocked.tolist(), rules.over(first).pinned.tolist()) == ([0], [3])
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
