"""What a query names, and how much of it an item meets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.candidates.query import lexical, meets_all, query_relevance
from flagrank.candidates.source import NOTHING, CandidateRequest, Term
from flagrank.candidates.user import resolve_user
from flagrank.model.arrays import NO_ROWS
from flagrank.model.lexical import build_lexical_index
from tests.factories import make_factors

WORDS = ("red", "blue", "lamp", "desk", "chair", "oak")
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=4, unique=True).map(" ".join), min_size=1, max_size=30)
terms = st.dictionaries(st.sampled_from([*WORDS, "nowhere"]), st.sampled_from([0.1, 0.5, 1.0]), max_size=4)


@given(texts=texts, weights=terms)
def test_relevance_is_the_share_of_the_weight_that_a_text_meets(texts: list[str], weights: dict[str, float]) -> None:
    """It equals the sum over the words of the text, and items that meet the same words are equal."""
    index = build_lexical_index(texts)
    asked = [Term(word, weight) for word, weight in weights.items()]
    found = query_relevance(index, asked, np.arange(len(texts)))
    worth = {
        word: weight * float(index.idf[number])
        for word, weight in weights.items()
        if (number := index.vocabulary.find(word)) is not None
    }
    whole = sum(worth.values())
    expected = [sum(worth.get(word, 0) for word in text.split()) / whole if whole else 0 for text in texts]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert ((found >= 0) & (found <= 1 + 1e-6)).all()


def test_an_item_that_meets_every_word_has_relevance_one() -> None:
    """Words that no text holds are left out: nobody can meet them."""
    index = build_lexical_index(["red lamp", "blue lamp", "red desk"])
    found = query_relevance(index, [Term("red"), Term("lamp"), Term("nowhere")], np.array([0, 1, 2]))
    assert found[0] == 1.0
    assert found[1:].max() < 1.0


@given(texts=texts, words=st.lists(st.sampled_from([*WORDS, "nowhere"]), max_size=3), rows=st.sets(st.integers(0, 29)))
def test_all_words_are_met_by_one_text_or_not_at_all(texts: list[str], words: list[str], rows: set[int]) -> None:
    """Two texts that hold half of the words each do not meet them."""
    some = sorted(row for row in rows if row < len(texts))
    expected = any(set(words) <= set(texts[row].split()) for row in some)
    assert meets_all(build_lexical_index(texts), words, np.array(some, np.int64)) is expected


def test_the_source_finds_nothing_without_words_or_index() -> None:
    """A request without a query is not for it, and a set may have no index."""
    factors = make_factors()
    user = resolve_user(factors, 3, NO_ROWS)
    assert lexical(factors, CandidateRequest(user, 5), 5) is NOTHING
    without = make_factors(lexical=None)
    assert lexical(without, CandidateRequest(user, 5, (Term("wireless"),)), 5) is NOTHING
