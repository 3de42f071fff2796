"""Queries from the whole catalogue: what is asked, by whom, and what counts as an answer."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.domain import ItemId
from flagrank.model.factors import Factors, Lexicon
from flagrank.offline.data.interactions import Dataset, Item
from flagrank.offline.data.split import held_out_last
from flagrank.offline.evaluation.catalogue_texts import CatalogueTexts, trigrams
from flagrank.offline.evaluation.query_draw import Draws, Part, draw
from flagrank.offline.evaluation.query_kinds import KINDS, made_up, misspell
from flagrank.offline.training.als import train
from flagrank.rerank.intent import tokenise
from tests.offline.datasets import QUICK, as_dataset, shop

COUNT = 40
WORD_KINDS = ("exact", "synonyms", "misspelt", "one_wrong", "purpose")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return held_out_last(shop())


@pytest.fixture(scope="module")
def texts(dataset: Dataset) -> CatalogueTexts:
    return CatalogueTexts.of(dataset)


@pytest.fixture(scope="module")
def factors(dataset: Dataset) -> Factors:
    return train(dataset, QUICK)


@pytest.fixture(scope="module")
def draws(dataset: Dataset, factors: Factors) -> Draws:
    return draw(dataset, factors, Part.TEST, COUNT)


def test_every_kind_has_its_queries(draws: Draws) -> None:
    """A shop with a lexicon, products and purposes has them all but two words of a category: its have one."""
    assert draws.keys() == {*WORD_KINDS, "known_item", "taste", "nothing"}
    assert {len(queries) for queries in draws.values()} == {COUNT}


def test_the_same_seed_draws_the_same(dataset: Dataset, factors: Factors, draws: Draws) -> None:
    """And another seed other queries."""
    assert draw(dataset, factors, Part.TEST, COUNT) == draws
    assert draw(dataset, factors, Part.TEST, COUNT, seed=1) != draws


def test_no_query_is_in_both_parts(dataset: Dataset, factors: Factors, draws: Draws) -> None:
    """Nothing that was chosen on validation has met a query of the test."""
    others = draw(dataset, factors, Part.VALIDATION, COUNT)
    for kind in (*WORD_KINDS, "nothing"):
        mine, theirs = ({frozenset(query.text.split()) for query in part[kind]} for part in (draws, others))
        assert not mine & theirs


def test_what_is_asked_does_not_depend_on_the_candidates(dataset: Dataset, draws: Draws) -> None:
    """A set whose factors are others is asked the same."""
    other = train(dataset, replace(QUICK, seed=7, factors=3))
    for kind, queries in draw(dataset, other, Part.TEST, COUNT).items():
        assert [query.text for query in queries] == [query.text for query in draws[kind]]


def test_nothing_that_the_user_has_seen_counts(factors: Factors, draws: Draws) -> None:
    """No list may hold it."""
    for queries in draws.values():
        for query in queries:
            row = factors.user_row(query.user_id)
            assert row is not None
            seen = set(factors.item_ids[factors.seen(row)].tolist())
            assert query.right
            assert not query.grades.keys() & seen
            assert query.right <= query.grades.keys()


def test_a_right_item_holds_every_right_word(dataset: Dataset, draws: Draws) -> None:
    """By its raw text: a word that is folded, misspelt or wrong is no part of it."""
    for kind in ("exact", "synonyms"):
        for query in draws[kind]:
            words = set(tokenise(query.text, dataset.lexicon))
            for item_id in query.right:
                item = dataset.item(item_id)
                assert words <= {*tokenise(f"{item.title} {item.category} {item.description}", dataset.lexicon)}


def test_synonyms_are_other_spellings(dataset: Dataset, draws: Draws) -> None:
    """At least one word of each such query is not the published one."""
    assert all(set(query.text.split()) & dataset.lexicon.synonyms.keys() for query in draws["synonyms"])


def test_one_word_is_misspelt_and_unknown(texts: CatalogueTexts, draws: Draws) -> None:
    """The other is as published."""
    for query in draws["misspelt"]:
        assert sum(word not in texts.known for word in query.text.split()) == 1


def test_taste_counts_what_the_user_went_on_to_choose(dataset: Dataset, texts: CatalogueTexts, draws: Draws) -> None:
    """Held-out items of the kind that was asked for; and all of them where nothing that exists was."""
    held_out = dataset.held_out
    assert held_out is not None
    pairs = set(zip(held_out.users.tolist(), held_out.items.tolist(), strict=True))
    for query in draws["taste"]:
        assert all((query.user_id, item_id) in pairs for item_id in query.right)
        assert query.right <= texts.holding([query.text])
    for query in draws["nothing"]:
        assert {(query.user_id, item_id) for item_id in query.right} == {
            pair for pair in pairs if pair[0] == query.user_id
        }
        assert not texts.known & {*query.text.split()}


def test_grades_follow_the_words_and_what_they_imply() -> None:
    """Half of the words 1, all of them 2, and 3 with a word of the purpose or one that is implied."""
    items: dict[ItemId, Item] = {
        1: Item("lamp", "red", "lamp for reading"),
        2: Item("red lamp", "", "lamp for work"),
        3: Item("red lamp", "", "lamp for reading"),
        4: Item("red lamp office", "", ""),
        5: Item("red rug", "", ""),
        6: Item("oak desk", "", ""),
    }
    rows = [(user, item, item) for user in (1, 2) for item in (6,)]
    small = replace(as_dataset(rows, "synthetic"), items=items, lexicon=Lexicon({}, {"work": ("office",)}))
    factors = train(small, replace(QUICK, factors=2))
    by_text = {query.text: query for part in Part for query in draw(small, factors, part, 9).get("purpose", [])}
    assert by_text["red lamp for work"].grades == {1: 2, 2: 3, 3: 2, 4: 3, 5: 1}
    assert by_text["red lamp for work"].right == {1, 2, 3, 4}


def test_a_catalogue_without_texts_is_asked_nothing(factors: Factors) -> None:
    """There is no word to ask for, and none that could be missing."""
    assert draw(as_dataset([(1, 10, 1), (2, 10, 2)]), factors, Part.TEST, 3) == {}


@given(word=st.text("abcdefgh", min_size=2, max_size=12), seed=st.integers(0, 9999))
def test_one_edit_is_all_that_is_wrong(word: str, seed: int) -> None:
    """What is misspelt differs by one letter, or by two neighbours that are swapped."""
    wrong = misspell(word, Random(seed))
    before = next((at for at, pair in enumerate(zip(word, wrong, strict=False)) if pair[0] != pair[1]), len(word))
    rests = {(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)}
    assert any(word[before + cut :] == wrong[before + kept :] for cut, kept in rests)
    assert abs(len(word) - len(wrong)) <= 1


@given(seed=st.integers(0, 9999))
def test_what_is_made_up_is_like_no_word(texts: CatalogueTexts, seed: int) -> None:
    """Ten letters without three in a row of any known word cannot be within two edits of one."""
    word = made_up(texts, Random(seed))
    assert len(word) == 10
    assert all(not trigrams(word) & trigrams(known) for known in texts.known)


def test_kinds_are_named_once() -> None:
    """A report has one figure a name."""
    assert not KINDS.keys() & {"taste", "nothing"}
