"""Words as plain arrays."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.model.vocabulary import Vocabulary

WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=30)


@given(words=WORDS, others=WORDS)
def test_every_word_is_found_under_its_number_and_no_other(words: list[str], others: list[str]) -> None:
    """Numbers follow the order of code points, whatever the script."""
    vocabulary = Vocabulary.of(words)
    assert [vocabulary[number] for number in range(len(vocabulary))] == sorted(set(words))
    assert [vocabulary.find(word) for word in sorted(set(words))] == list(range(len(vocabulary)))
    assert {vocabulary.find(word) for word in set(others) - set(words)} <= {None}
    assert vocabulary.broken_rules() == []


@pytest.mark.parametrize("word", ["", "\ud800", "x" * 100_000, "\U0001f3a7", "\x00", "e\u0301"])
def test_a_hostile_word_is_unknown(word: str) -> None:
    """A lone surrogate, an emoji or a very long word is looked up like any other."""
    assert Vocabulary.of(["audio", "headset"]).find(word) is None
    assert Vocabulary.of([]).find(word) is None


def test_letters_hold_what_may_be_misspelt() -> None:
    """Words of letters alone, by length; digits, short words and very long ones stay out."""
    vocabulary = Vocabulary.of(["usb", "tv", "mp3", "audio", "größe", "x" * 34, "x" * 35, "a_b"])
    assert [vocabulary[number] for number in vocabulary.letters.words] == ["usb", "audio", "größe", "x" * 34]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"text": np.zeros(8, np.int64)}, "words as bytes with int64 offsets"),
        ({"text": np.zeros((2, 4), np.uint8)}, "words as bytes with int64 offsets"),
        ({"indptr": np.array([0, 3, 8], np.int32)}, "words as bytes with int64 offsets"),
        ({"indptr": np.array([], np.int64)}, "words with rising offsets"),
        ({"indptr": np.array([0, 3, 3, 8])}, "words with rising offsets"),
        ({"indptr": np.array([1, 3, 8])}, "words with rising offsets"),
        ({"indptr": np.array([0, 3, 9])}, "words with rising offsets"),
        # the differences of these overflow to numbers above 0
        ({"indptr": np.array([0, 2**62, -(2**62) - 2**61, 8])}, "words with rising offsets"),
        ({"text": np.frombuffer(b"abc\xff\xfe\xfd\xfc\xfb", np.uint8)}, "words in UTF-8"),
        ({"text": np.frombuffer("abé1234".encode(), np.uint8)}, "words of whole letters"),
        ({"text": np.frombuffer(b"xyzaudio", np.uint8)}, "words in order"),
        ({"text": np.frombuffer(b"abcabc", np.uint8), "indptr": np.array([0, 3, 6])}, "words in order"),
    ],
)
def test_arrays_that_are_no_vocabulary_are_told(change: dict[str, Any], rule: str) -> None:
    """Each broken rule is named, and nothing is looked up before the rules hold."""
    whole = Vocabulary(np.frombuffer(b"abcaudio", np.uint8), np.array([0, 3, 8]))
    assert whole.broken_rules() == []
    assert replace(whole, **change).broken_rules() == [rule]
