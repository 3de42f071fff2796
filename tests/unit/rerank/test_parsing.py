"""The strict parse and its salvage ladder."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import CutOffAnswer, LowCoverage, MalformedAnswer, RerankError
from flagrank.ports import Completion
from flagrank.rerank.answers import COMPACT, FORMS, VERBOSE, AnswerForm
from flagrank.rerank.parsing import parse_answer


def entry(i: Any, relevance: Any = 50, allowed: Any = True, **more: Any) -> dict[str, Any]:
    return {"i": i, "relevance": relevance, "allowed": allowed, **more}


def answer(*entries: Any, before: str = "", after: str = "", stop_reason: str = "end_turn") -> Completion:
    return Completion(before + json.dumps({"items": entries}) + after, stop_reason, 10, 10)


def test_a_clean_answer_is_read_whole() -> None:
    """Every judged index comes back with its relevance."""
    assert parse_answer(answer(entry(0, 10), entry(1, 90)), 2, VERBOSE) == {0: 10, 1: 90}


def test_an_item_that_is_not_allowed_has_no_relevance() -> None:
    """`allowed: false` is worth 0 whatever the relevance says."""
    assert parse_answer(answer(entry(0, 99, False), entry(1, 5)), 2, VERBOSE) == {0: 0, 1: 5}


@pytest.mark.parametrize(
    ("before", "after"), [("Sure! Here it is:\n```json\n", "\n```"), ("", " Hope this helps {x}"), ("{", "")]
)
def test_prose_around_the_object_is_no_loss(before: str, after: str) -> None:
    """The first JSON object with items counts, whatever stands around it."""
    assert parse_answer(answer(entry(0, 10), entry(1, 90), before=before, after=after), 2, VERBOSE) == {0: 10, 1: 90}


@pytest.mark.parametrize(
    "bad",
    [entry(9), entry(-1), entry("1"), entry(1.5), entry(1, 101), entry(1, "90"), entry(1, True), entry(1, 5, "yes"),
     entry(1, why="because"), {"i": 1}, "1", 1, None, [1, 2]],
)  # fmt: skip
def test_an_invalid_entry_costs_only_itself(bad: object) -> None:
    """Unknown indices, wrong types, ranges and extra members drop that entry and keep the others."""
    assert parse_answer(answer(entry(0, 10), bad, entry(2, 30)), 3, VERBOSE) == {0: 10, 2: 30}


def test_an_index_judged_twice_is_not_judged() -> None:
    """Of two judgements of one item neither is believed."""
    assert parse_answer(answer(entry(0, 10), entry(1, 20), entry(0, 80), entry(2, 5)), 3, VERBOSE) == {1: 20, 2: 5}


@pytest.mark.parametrize(
    "stop_reason", ["max_tokens", "content_filtered", "guardrail_intervened", "malformed_model_output"]
)
def test_a_cut_off_answer_is_refused(stop_reason: str) -> None:
    """An answer that did not come to its own end is not read, however well it looks."""
    with pytest.raises(CutOffAnswer):
        parse_answer(answer(entry(0), stop_reason=stop_reason), 1, VERBOSE)


@pytest.mark.parametrize(
    "text", ["", "top 3: 2, 1", "[]", "null", '{"items": 3}', '{"scores": []}', "[1, 2]", "{" * 5000, "[" * 5000]
)
def test_text_without_an_object_with_items_is_malformed(text: str) -> None:
    """Digits in prose are not scores."""
    with pytest.raises(MalformedAnswer):
        parse_answer(Completion(text, "end_turn", 1, 1), 2, VERBOSE)


def test_less_than_half_of_the_items_is_too_little() -> None:
    """Low coverage is its own failure."""
    with pytest.raises(LowCoverage):
        parse_answer(answer(entry(0)), 3, VERBOSE)


def compact(*scores: Any, before: str = "", after: str = "", stop_reason: str = "end_turn") -> Completion:
    return Completion(before + json.dumps({"scores": scores}) + after, stop_reason, 10, 10)


def test_compact_scores_belong_to_the_items_in_their_order() -> None:
    """A number stands for the item at its place, and -1 refuses it."""
    assert parse_answer(compact(10, 90, -1), 3, COMPACT) == {0: 10, 1: 90, 2: 0}


@pytest.mark.parametrize("scores", [(10,), (10, 90, 5), ()])
def test_a_compact_answer_of_another_length_is_malformed(scores: tuple[int, ...]) -> None:
    """Nothing else says which item each number is for."""
    with pytest.raises(MalformedAnswer):
        parse_answer(compact(*scores), 2, COMPACT)


@pytest.mark.parametrize("bad", [101, -2, 5.5, "90", True, None, [1]])
def test_a_compact_score_that_is_none_costs_only_itself(bad: object) -> None:
    """Its item is not judged, and the others keep their places."""
    assert parse_answer(compact(10, bad, 30), 3, COMPACT) == {0: 10, 2: 30}


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("Here: [10, 90]", COMPACT, {0: 10, 1: 90}),
        (
            '<invoke name="relevance"><parameter name="items">[{"i": 0, "relevance": 7, "allowed": true}, '
            '{"i": 1, "relevance": 8, "allowed": true}]</parameter></invoke>',
            VERBOSE,
            {0: 7, 1: 8},
        ),
        ('<parameter name="scores">[7, 8]</parameter>', COMPACT, {0: 7, 1: 8}),
    ],
)
def test_a_tool_call_that_was_written_as_text_is_salvaged(
    text: str, form: AnswerForm, expected: dict[int, int]
) -> None:
    """Nova 2 Lite was seen to write its forced tool call as XML: the array in it is whole."""
    assert parse_answer(Completion(text, "malformed_tool_use", 1, 1), 2, form) == expected


@given(
    text=st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps),
    size=st.integers(1, 20),
    form=st.sampled_from(list(FORMS.values())),
)
def test_any_text_gives_valid_scores_or_a_rerank_error(text: str, size: int, form: AnswerForm) -> None:
    """Whatever the model says, the parse answers with scores in range or one of its own errors."""
    try:
        scores = parse_answer(Completion(text, "end_turn", 1, 1), size, form)
    except RerankError:
        return
    assert all(0 <= index < size and 0 <= score <= 100 for index, score in scores.items())
    assert len(scores) * 2 >= size


@given(scores=st.lists(st.integers(-1, 100), min_size=1, max_size=30))
def test_both_forms_say_the_same(scores: list[int]) -> None:
    """A judgement is read alike, whichever form it was written in."""
    entries = [entry(index, max(score, 0), score >= 0) for index, score in enumerate(scores)]
    assert parse_answer(answer(*entries), len(scores), VERBOSE) == parse_answer(compact(*scores), len(scores), COMPACT)
