"""The strict parse and its salvage ladder."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import CutOffAnswer, LowCoverage, MalformedAnswer, RerankError
from flagrank.ports import Completion
from flagrank.rerank.parsing import parse_answer


def entry(i: Any, relevance: Any = 50, allowed: Any = True, **more: Any) -> dict[str, Any]:
    return {"i": i, "relevance": relevance, "allowed": allowed, **more}


def answer(*entries: Any, before: str = "", after: str = "", stop_reason: str = "end_turn") -> Completion:
    return Completion(before + json.dumps({"items": entries}) + after, stop_reason, 10, 10)


def test_a_clean_answer_is_read_whole() -> None:
    """Every judged index comes back with its relevance."""
    assert parse_answer(answer(entry(0, 10), entry(1, 90)), 2) == {0: 10, 1: 90}


def test_an_item_that_is_not_allowed_has_no_relevance() -> None:
    """`allowed: false` is worth 0 whatever the relevance says."""
    assert parse_answer(answer(entry(0, 99, False), entry(1, 5)), 2) == {0: 0, 1: 5}


@pytest.mark.parametrize(
    ("before", "after"), [("Sure! Here it is:\n```json\n", "\n```"), ("", " Hope this helps {x}"), ("{", "")]
)
def test_prose_around_the_object_is_no_loss(before: str, after: str) -> None:
    """The first JSON object with items counts, whatever stands around it."""
    assert parse_answer(answer(entry(0, 10), entry(1, 90), before=before, after=after), 2) == {0: 10, 1: 90}


@pytest.mark.parametrize(
    "bad",
    [entry(9), entry(-1), entry("1"), entry(1.5), entry(1, 101), entry(1, "90"), entry(1, True), entry(1, 5, "yes"),
     entry(1, why="because"), {"i": 1}, "1", 1, None, [1, 2]],
)  # fmt: skip
def test_an_invalid_entry_costs_only_itself(bad: object) -> None:
    """Unknown indices, wrong types, ranges and extra members drop that entry and keep the others."""
    assert parse_answer(answer(entry(0, 10), bad, entry(2, 30)), 3) == {0: 10, 2: 30}


def test_an_index_judged_twice_is_not_judged() -> None:
    """Of two judgements of one item neither is believed."""
    assert parse_answer(answer(entry(0, 10), entry(1, 20), entry(0, 80), entry(2, 5)), 3) == {1: 20, 2: 5}


@pytest.mark.parametrize(
    "stop_reason", ["max_tokens", "content_filtered", "guardrail_intervened", "malformed_model_output"]
)
def test_a_cut_off_answer_is_refused(stop_reason: str) -> None:
    """An answer that did not come to its own end is not read, however well it looks."""
    with pytest.raises(CutOffAnswer):
        parse_answer(answer(entry(0), stop_reason=stop_reason), 1)


@pytest.mark.parametrize("text", ["", "top 3: 2, 1", "[]", "null", '{"items": 3}', '{"scores": []}', "{" * 5000])
def test_text_without_an_object_with_items_is_malformed(text: str) -> None:
    """Digits in prose are not scores."""
    with pytest.raises(MalformedAnswer):
        parse_answer(Completion(text, "end_turn", 1, 1), 2)


def test_less_than_half_of_the_items_is_too_little() -> None:
    """Low coverage is its own failure."""
    with pytest.raises(LowCoverage):
        parse_answer(answer(entry(0)), 3)


@given(
    text=st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps),
    size=st.integers(1, 20),
)
def test_any_text_gives_valid_scores_or_a_rerank_error(text: str, size: int) -> None:
    """Whatever the model says, the parse answers with scores in range or one of its own errors."""
    try:
        scores = parse_answer(Completion(text, "end_turn", 1, 1), size)
    except RerankError:
        return
    assert all(0 <= index < size and 0 <= score <= 100 for index, score in scores.items())
    assert len(scores) * 2 >= size
