"""Corrections of unknown words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.candidates import spelling
from flagrank.candidates.spelling import Correction, corrections, edit_distances
from flagrank.model.factors import Rows
from flagrank.model.vocabulary import Letters, Vocabulary

SHOP = ("audio", "backpack", "bluetooth", "calls", "headset", "headsets", "keyboard", "microphone", "mp3", "pan", "pen")


def distance(one: str, other: str) -> int:
    """The peer: the table of the restricted Damerau-Levenshtein distance."""
    rows = [[max(i, j) if not i or not j else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            differs = one[i - 1] != other[j - 1]
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + differs)
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def corrected(word: str, words: tuple[str, ...] = SHOP, limit: int = 3) -> list[str]:
    vocabulary = Vocabulary.of(words)
    return [found.word for found in corrections(vocabulary, np.ones(len(vocabulary), np.int64), word, limit)]


LETTERS = st.text("abcdeß耳", min_size=3, max_size=14)


@given(word=LETTERS, words=st.lists(LETTERS, min_size=1, max_size=40))
def test_the_distance_is_that_of_the_table(word: str, words: list[str]) -> None:
    """Bits at once or cell by cell, for every length and script."""
    letters = (vocabulary := Vocabulary.of(words)).letters
    pattern = np.array([ord(letter) for letter in word], np.uint32)
    found = edit_distances(letters, pattern, np.arange(len(letters.words)))
    assert found.tolist() == [distance(word, vocabulary[number]) for number in letters.words]


@given(word=LETTERS, words=st.lists(LETTERS, max_size=40), limit=st.integers(1, 5))
def test_the_nearest_words_are_found_and_no_others(word: str, words: list[str], limit: int) -> None:
    """Whatever is left out before words are compared could not have been near enough."""
    vocabulary = Vocabulary.of(words)
    frequencies = np.arange(len(vocabulary)) % 3
    allowed = 0 if len(word) < 4 or word in words else 1 if len(word) < 8 else 2
    near = {other: distance(word, other) for other in set(words) if 1 <= distance(word, other) <= allowed}
    nearest = [other for other in near if near[other] == min(near.values())]
    nearest.sort(key=lambda other: (-frequencies[vocabulary.find(other) or 0], other))
    found = corrections(vocabulary, frequencies, word, limit)
    assert [correction.word for correction in found] == nearest[:limit]
    assert all(correction.weight == 1 - correction.distance / len(word) for correction in found)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("haedset", "headset"),
        ("eadset", "headset"),
        ("jeadset", "headset"),
        ("microfone", "microphone"),
        ("bleutoth", "bluetooth"),
        ("keybord", "keyboard"),
        ("adio", "audio"),
    ],
)
def test_a_slip_of_the_fingers_is_met(word: str, meant: str) -> None:
    """A swap, a missing letter, a wrong first letter, and two errors in a long word."""
    assert corrected(word) == [meant]


def test_the_more_frequent_of_two_equally_near_words_comes_first() -> None:
    """What the shop has more of is the likelier one."""
    vocabulary = Vocabulary.of(["grips", "grill"])
    found = corrections(vocabulary, np.array([2, 9]), "grils")
    assert found == (Correction("grips", 1, 0.8), Correction("grill", 1, 0.8))


@pytest.mark.parametrize(
    "word",
    [
        "",
        "pin",
        "headset",
        "pin2",
        "12345",
        "mp33",
        "head_set",
        "keyboardkeyboard",
        "x" * 33,
        "x" * 100_000,
        "\U0001f3a7" * 6,
        "headse\u0301t",
        "head\x00set",
        "headset\n",
        "\ud800\ud800\ud800\ud800",
        "\u202eheadse",
    ],
    ids=ascii,
)
def test_what_is_no_misspelling_is_left_alone(word: str) -> None:
    """Known, short, very long and numbered words, and what holds anything but letters, have no corrections."""
    assert corrected(word) == []


@given(word=st.text(max_size=40))
def test_no_text_is_too_strange(word: str) -> None:
    """Every correction is a word of the vocabulary, and the same word has the same ones."""
    assert set(corrected(word)) <= set(SHOP)
    assert corrected(word) == corrected(word)


def test_an_empty_vocabulary_corrects_nothing() -> None:
    """A shop without texts answers nonetheless."""
    assert corrected("headset", ()) == []
    assert corrected("headset", ("mp3", "4k")) == []


def test_no_more_words_are_compared_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too many words have like letters, those that fit worst are cut, and the true one stays."""
    monkeypatch.setattr(spelling, "MAX_COMPARED", 3)
    anagrams = tuple("stained"[:turn] + "xq" + "stained"[turn:] for turn in range(7))
    compared = []

    def counted(letters: Letters, pattern: np.ndarray, entries: Rows) -> np.ndarray:
        compared.append(len(entries))
        return edit_distances(letters, pattern, entries)

    monkeypatch.setattr(spelling, "edit_distances", counted)
    assert corrected("stainedd", (*anagrams, "stained")) == ["stained"]
    assert compared == [3]
