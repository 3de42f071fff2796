"""The synthetic shop: the same everywhere, and one where a query can matter."""

import hashlib
from collections import Counter

import numpy as np
import orjson
import pytest

from flagrank.offline.data import synthetic
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.sources import read_dataset
from flagrank.rerank.intent import rewrite_item, rewrite_query, tokenise
from tests.offline.datasets import whole_shop

INTERACTIONS_SHA256 = "8406806b62a391d8e24ec16f75138b2950d3595fa36dbf013eb7cdd3f233fb3f"
ITEMS_SHA256 = "b4ee9b5ef79598d0edc7880e876c4a8b49de6163b930afc3d8a91f855ef3f1c0"
LEXICON_SHA256 = "01352676c504e16ae66865407116e3dadd625e9fdc755fcbb0f5331c306a2705"
ATTRIBUTES_SHA256 = "4b0b6eca42cc7831346c66113f2d7ecf6dd2a83064da4f963fac6d1aa08de1c5"


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return whole_shop()


def test_the_interactions_are_the_same_on_every_machine(shop: Dataset) -> None:
    """Who bought what and when never changes by itself."""
    rows = shop.interactions
    digest = hashlib.sha256()
    for array in (rows.users, rows.items, rows.values, rows.timestamps):
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest() == INTERACTIONS_SHA256


def test_the_texts_are_the_same_on_every_machine(shop: Dataset) -> None:
    """Neither do the items' texts."""
    texts = [[item_id, item.title, item.category, item.description] for item_id, item in shop.items.items()]
    assert hashlib.sha256(orjson.dumps(texts)).hexdigest() == ITEMS_SHA256


def test_the_vocabulary_is_the_same_on_every_machine(shop: Dataset) -> None:
    """Nor does the vocabulary that queries are rewritten with."""
    lexicon = orjson.dumps([shop.lexicon.synonyms, shop.lexicon.expansions], option=orjson.OPT_SORT_KEYS)
    assert hashlib.sha256(lexicon).hexdigest() == LEXICON_SHA256


def test_the_attributes_are_the_same_on_every_machine(shop: Dataset) -> None:
    """Nor do prices, stock and brands."""
    columns = [[name, each.type, list(each.values.items())] for name, each in shop.attributes.items()]
    assert hashlib.sha256(orjson.dumps(columns)).hexdigest() == ATTRIBUTES_SHA256


def test_every_item_has_a_price_a_stock_and_a_brand(shop: Dataset) -> None:
    """There is something to filter by: cheap and dear items, 24 brands, and a few items that are out of stock."""
    price, stock, brand = (shop.attributes[name].values for name in ("price", "stock", "brand"))
    assert price.keys() == stock.keys() == brand.keys() == shop.items.keys()
    assert all(shop.items[item_id].title.startswith(f"{name} ") for item_id, name in brand.items())
    assert len(set(brand.values())) == 24
    assert 20 <= sum(count == 0 for count in stock.values()) <= 80
    assert all(isinstance(cost, float) and 3 < cost < 1200 for cost in price.values())
    assert np.mean([float(cost) < 50 for cost in price.values()]) > 0.1


def test_another_seed_is_another_shop(shop: Dataset) -> None:
    """The seed decides."""
    other = synthetic.generate(seed=1)
    assert other.items != shop.items
    assert not np.array_equal(other.interactions.items[:1000], shop.interactions.items[:1000])


def test_the_shop_has_its_promised_size(shop: Dataset) -> None:
    """2,520 items, 180 in each of 14 topics, and 1,200 users."""
    topics = Counter(item.category for item in shop.items.values())
    assert len(shop.items) == 2520
    assert len(topics) == 14
    assert set(topics.values()) == {180}
    assert len(np.unique(shop.interactions.users)) == 1200


def test_every_user_has_enough_interactions_to_learn_from(shop: Dataset) -> None:
    """30 to 200 each, no item twice."""
    users, counts = np.unique(shop.interactions.users, return_counts=True)
    assert counts.min() >= 30
    assert counts.max() <= 200
    assert len(shop.interactions.latest()) == len(shop.interactions)
    assert users.tolist() == list(range(1, 1201))


def test_every_interaction_is_with_an_item_of_the_shop(shop: Dataset) -> None:
    """No interaction without a text."""
    assert set(shop.interactions.items.tolist()) <= shop.items.keys()


def test_a_user_keeps_to_a_few_topics(shop: Dataset) -> None:
    """The four favourite topics of a user hold most of the interactions, so there are tastes to learn."""
    rows = shop.interactions
    shares = []
    for user_id in range(1, 101):
        topics = Counter(shop.items[item_id].category for item_id in rows.items[rows.users == user_id].tolist())
        shares.append(sum(count for _, count in topics.most_common(4)) / topics.total())
    assert np.mean(shares) > 0.8


def test_the_readmes_query_meets_items(shop: Dataset) -> None:
    """Many items share a word with it, few share three: a reranker has something to tell apart."""
    intent = rewrite_query("cordless headset for work calls", shop.lexicon)
    shared = [
        len(set(intent.tokens) & set(rewrite_item(item.title, item.category, item.description, shop.lexicon).split()))
        for item in shop.items.values()
    ]
    assert intent.tokens == ("wireless", "headset", "work", "calls")
    assert sum(count >= 1 for count in shared) >= 300
    assert 5 <= sum(count >= 3 for count in shared) <= 50


def test_no_synonym_chains(shop: Dataset) -> None:
    """A synonym leads to another word, and that word leads nowhere."""
    synonyms = shop.lexicon.synonyms
    assert synonyms
    assert not synonyms.keys() & set(synonyms.values())


def test_every_word_of_the_vocabulary_is_one_token(shop: Dataset) -> None:
    """A phrase or a stop word could never be met in a tokenised text."""
    lexicon = shop.lexicon
    words = {*lexicon.synonyms, *lexicon.synonyms.values(), *lexicon.expansions}
    words.update(word for implied in lexicon.expansions.values() for word in implied)
    assert [word for word in words if len(tokenise(word, lexicon)) != 1] == []
    assert not lexicon.expansions.keys() & lexicon.synonyms.keys()


def test_the_shop_is_what_data_synthetic_means(shop: Dataset) -> None:
    """The embedded default goes by its name."""
    assert read_dataset("synthetic").items == shop.items
