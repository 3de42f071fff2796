"""The words of each item's text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flagrank.model.lexical import build_lexical_index
from flagrank.model.text_words import TextWords, hash_of

TEXTS = st.lists(st.lists(st.sampled_from("ab bc ça d e f g".split()), max_size=6, unique=True), min_size=1, max_size=9)


@given(TEXTS, st.data())
def test_an_item_has_the_words_of_its_text(texts: list[list[str]], data: st.DataObject) -> None:
    """Whatever the lengths, whichever items are asked for, and in whatever order."""
    index = build_lexical_index([" ".join(words) for words in texts])
    asked = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6))
    words, places = TextWords.of(index, []).gathered(np.array(asked, np.int64))
    found: list[list[str]] = [[] for _ in asked]
    for word, place in zip(words.tolist(), places.tolist(), strict=True):
        found[place].append(index.vocabulary[word])
    assert found == [sorted(texts[row]) for row in asked]


def test_a_category_is_no_word() -> None:
    """A text that names the category must not be taken for an item that is in it."""
    texts = TextWords.of(build_lexical_index(["audio"]), ["audio"])
    assert texts.word_hashes.tolist() == [hash_of("audio")]
    assert texts.category_hashes[0] != texts.word_hashes[0]
