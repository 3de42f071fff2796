"""The inverted index: what is built, and what is refused."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.candidates.lexical import lexical_top_k
from flagrank.model import lexical
from flagrank.model.lexical import LexicalIndex, broken_rules, build_lexical_index

TEXTS = ("wireless headset audio", "steel pan", "wireless audio", "", "pan pan steel", "headset")
NONE_MASKED = np.empty(0, np.int64)

WORD = st.sampled_from(["pan", "steel", "audio", "headset", "größe", "耳机", "\U0001f3a7"])
TEXT = st.lists(WORD, max_size=12).map(" ".join)


def held(index: LexicalIndex) -> dict[str, list[int]]:
    """The item rows of every word."""
    return {
        index.vocabulary[number]: sorted(index.rows_by_length[index.postings(number)].tolist())
        for number in range(len(index.vocabulary))
    }


@given(texts=st.lists(TEXT, max_size=40), chunk=st.integers(1, 50))
def test_every_word_leads_to_the_items_that_hold_it(texts: list[str], chunk: int) -> None:
    """The index says the same as the texts, which it reads so many at a time, and keeps the rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexical, "CHUNK", chunk)
        index = build_lexical_index(texts)
    words = {word for text in texts for word in text.split()}
    assert held(index) == {word: [row for row, text in enumerate(texts) if word in text.split()] for word in words}
    assert broken_rules(index, len(texts)) == []


@given(texts=st.lists(TEXT, min_size=1, max_size=40))
def test_items_lie_by_length_and_within_a_length_by_row(texts: list[str]) -> None:
    """The shortest text is met first; a token counts once a text."""
    lengths = [len(set(text.split())) for text in texts]
    index = build_lexical_index(texts)
    assert index.rows_by_length.tolist() == sorted(range(len(texts)), key=lambda row: (lengths[row], row))
    assert (np.diff(index.saturations) < 0).all()
    assert index.position_of[index.rows_by_length].tolist() == list(range(len(texts)))


def test_an_impact_is_that_of_bm25() -> None:
    """idf times saturation is the formula's value, k1 1.2 and b 0.75."""
    index = build_lexical_index(TEXTS)
    rows, scores = lexical_top_k(index, {"wireless": 1}, 5, NONE_MASKED)
    mean_length = (3 + 2 + 2 + 0 + 2 + 1) / 6
    idf = math.log(1 + (6 - 2 + 0.5) / (2 + 0.5))
    expected = [idf / (1 + 1.2 * (0.25 + 0.75 * length / mean_length)) for length in (2, 3)]
    assert rows.tolist() == [2, 0]
    assert scores.tolist() == pytest.approx(expected, rel=1e-6)


def test_a_word_that_every_item_holds_still_counts_for_something() -> None:
    """No idf is zero or below."""
    assert (build_lexical_index(["pan", "pan", "pan steel"]).idf > 0).all()


def test_very_long_texts_count_as_equally_long() -> None:
    """Saturations of different lengths stay further apart than float32 rounds."""
    texts = [" ".join(str(number) for number in range(length)) for length in (1500, 1024, 3000, 5)]
    index = build_lexical_index(texts)
    assert index.rows_by_length.tolist() == [3, 0, 1, 2]
    assert broken_rules(index, 4) == []


def test_an_index_is_plain_arrays() -> None:
    """Every field can be published without pickle."""
    index = build_lexical_index(TEXTS)
    arrays = [getattr(index, field.name) for field in fields(index)]
    assert [array.ndim for array in arrays] == [1] * len(arrays)
    assert not any(array.dtype.hasobject for array in arrays)


def changed(array: np.ndarray, place: int, value: Any) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


INDEX = build_lexical_index(TEXTS)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"word_text": INDEX.word_text[::-1]}, "words in order"),
        ({"idf": INDEX.idf.astype(np.float64)}, "idf as one row of f4"),
        ({"positions": INDEX.positions.astype(np.int64)}, "positions as one row of i4"),
        ({"positions": INDEX.positions.reshape(-1, 2)}, "positions as one row of i4"),
        ({"idf": INDEX.idf[1:]}, "one idf a word, above 0 and at most ln(1 + items)"),
        ({"idf": changed(INDEX.idf, 1, np.nan)}, "one idf a word, above 0 and at most ln(1 + items)"),
        ({"idf": changed(INDEX.idf, 1, np.inf)}, "one idf a word, above 0 and at most ln(1 + items)"),
        ({"idf": changed(INDEX.idf, 1, -1)}, "one idf a word, above 0 and at most ln(1 + items)"),
        ({"rows_by_length": INDEX.rows_by_length[1:]}, "every item by length once"),
        ({"rows_by_length": changed(INDEX.rows_by_length, 0, 99)}, "every item by length once"),
        ({"rows_by_length": changed(INDEX.rows_by_length, 0, -1)}, "every item by length once"),
        ({"rows_by_length": changed(INDEX.rows_by_length, 0, 0)}, "every item by length once"),
        ({"rows_by_length": INDEX.rows_by_length[[0, 1, 3, 2, 4, 5]]}, "items of one length by row"),
        ({"length_indptr": np.array([0, 1, 2, 6])}, "one saturation a length, between 0 and 1, falling"),
        ({"length_indptr": changed(INDEX.length_indptr, 1, 5)}, "lengths with rising offsets"),
        ({"saturations": INDEX.saturations[::-1]}, "one saturation a length, between 0 and 1, falling"),
        ({"saturations": changed(INDEX.saturations, 3, 0)}, "one saturation a length, between 0 and 1, falling"),
        ({"saturations": changed(INDEX.saturations, 0, 2)}, "one saturation a length, between 0 and 1, falling"),
        ({"saturations": changed(INDEX.saturations, 1, np.nan)}, "one saturation a length, between 0 and 1, falling"),
        ({"indptr": INDEX.indptr[:-1]}, "postings with rising offsets"),
        ({"indptr": changed(INDEX.indptr, 1, 99)}, "postings with rising offsets"),
        ({"indptr": changed(INDEX.indptr, -1, 99)}, "postings with rising offsets"),
        ({"positions": changed(INDEX.positions, 0, 6)}, "postings in range"),
        ({"positions": changed(INDEX.positions, 0, -1)}, "postings in range"),
        ({"positions": INDEX.positions[::-1]}, "a word's postings rising"),
    ],
)
def test_arrays_that_are_no_index_are_told(change: dict[str, Any], rule: str) -> None:
    """Each broken rule is named."""
    assert broken_rules(replace(INDEX, **change), len(TEXTS)) == [rule]


def test_an_index_of_another_set_is_told() -> None:
    """As many items as the factors have."""
    assert "every item by length once" in broken_rules(INDEX, len(TEXTS) + 1)


@settings(max_examples=300)
@given(
    name=st.sampled_from([field.name for field in fields(LexicalIndex)]),
    kind=st.sampled_from(["value", "cut", "repeat", "dtype", "shape"]),
    place=st.integers(0, 1000),
    value=st.sampled_from([-(2**31), -1, 0, 1, 2, 7, 255, 2**31 - 1]),
)
def test_what_breaks_no_rule_can_be_searched(name: str, kind: str, place: int, value: int) -> None:
    """A hostile file is refused, or it is searched without an error; it never crashes serving."""
    array = getattr(INDEX, name)
    place %= len(array)
    hostile = {
        "value": changed(array, place, np.array(value).astype(array.dtype)),
        "cut": array[:place],
        "repeat": np.concatenate([array, array[place:]]),
        "dtype": array.astype(np.float64),
        "shape": array[:, None],
    }
    index = replace(INDEX, **{name: hostile[kind]})
    if broken_rules(index, len(TEXTS)):
        return
    for word in ("pan", "headset"):
        rows, scores = lexical_top_k(index, {word: 1, "steel": 0.5}, 3, np.array([2]), np.ones(len(TEXTS), bool))
        assert len(rows) == len(scores) <= 3
        assert ((rows >= 0) & (rows < len(TEXTS))).all()


def test_a_warm_index_leaves_nothing_to_the_first_query() -> None:
    """Whatever is computed once is computed by then."""
    index = build_lexical_index(TEXTS)
    index.warm()
    assert {"vocabulary", "frequencies", "position_of"} <= vars(index).keys()
    assert "letters" in vars(index.vocabulary)
