"""Query rewriting and profile intents."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.model.catalog import CatalogItem
from flagrank.model.factors import Lexicon
from flagrank.rerank.intent import PROFILE_ITEMS, PROFILE_TOKENS, Intent, profile_intent, rewrite_item, rewrite_query

LEXICON = Lexicon(
    synonyms={"cordless": "wireless", "headphones": "headset"},
    expansions={"calls": ("microphone", "wireless"), "headset": ("audio",)},
)
NO_LEXICON = Lexicon({}, {})


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("Cordless HEADSET for work calls", "wireless headset work calls audio microphone"),
        ("I am looking for a headset, please", "am headset audio"),
        ("headphones headset HEADPHONES", "headset audio"),
        ("\uff57ireless caf\u00e9", "wireless caf\u00e9"),
        ("the of and", ""),
        ("!!!", ""),
    ],
)
def test_a_query_becomes_canonical_tokens_and_what_they_imply(query: str, text: str) -> None:
    """Case, width, stop words, synonyms and duplicates fold; expansions follow, none repeated."""
    assert rewrite_query(query, LEXICON).text == text


@given(query=st.text(max_size=256))
def test_rewriting_is_idempotent(query: str) -> None:
    """A rewritten query rewrites to itself, so that it is a stable cache key."""
    once = rewrite_query(query, NO_LEXICON).text
    assert rewrite_query(once, NO_LEXICON).text == once


@given(words=st.lists(st.sampled_from(["red", "shoe", "the", "cordless", "wireless"]), max_size=8))
def test_tokens_are_never_repeated(words: list[str]) -> None:
    """No token appears twice in an intent."""
    tokens = rewrite_query(" ".join(words), LEXICON).text.split()
    assert len(tokens) == len(set(tokens))


def test_an_intent_without_tokens_is_empty() -> None:
    """A query of stop words alone says nothing."""
    assert not rewrite_query("for the of", LEXICON)
    assert not Intent()


def test_a_profile_names_what_recurs() -> None:
    """The commonest words of the recent items come first, ties in alphabetical order."""
    items = [CatalogItem("", "audio", "wireless headset"), CatalogItem("", "audio", "wired headset red")]
    assert profile_intent(items, NO_LEXICON).tokens == ("audio", "headset", "red", "wired", "wireless")


@given(texts=st.lists(st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), max_size=12).map(" ".join), max_size=25))
def test_a_profile_is_the_beginning_of_all_words_in_order(texts: list[str]) -> None:
    """Commonest first, ties in alphabetical order, an item counting once for a word; and the same when asked again."""
    lexicon, items = Lexicon({"z": "y"}, {}), [CatalogItem("", "category", text) for text in texts]
    words = [{*rewrite_item("", "category", text, lexicon).split()} for text in texts[-PROFILE_ITEMS:]]
    counts = Counter(word for each in words for word in each)
    expected = tuple(sorted(counts, key=lambda word: (-counts[word], word))[:PROFILE_TOKENS])
    assert profile_intent(items, lexicon).tokens == profile_intent(items, lexicon).tokens == expected


@given(texts=st.lists(st.text(max_size=60), max_size=40))
def test_a_profile_is_short(texts: list[str]) -> None:
    """However long the history, the profile keeps a handful of words."""
    items = [CatalogItem("t", "c", text) for text in texts]
    assert len(profile_intent(items, NO_LEXICON).tokens) <= PROFILE_TOKENS


def test_an_item_text_is_canonical_and_capped() -> None:
    """Title, category and description become one run of canonical tokens, cut at the cap."""
    text = rewrite_item(
        "Cordless Headphones", "Audio", "headset with a microphone " + "x1 x2 x3", LEXICON, max_tokens=5
    )
    assert text == "wireless headset audio microphone x1"
