"""A synthetic shop whose users prefer certain topics, brands and attributes.

It uses integer weights and Python's Mersenne Twister only, so that it is the same on every machine.
"""

import itertools
import json
import random
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from flagrank.domain import ItemId
from flagrank.model.factors import Lexicon
from flagrank.offline.data.interactions import SYNTHETIC, Dataset, Interactions, Item, ItemAttribute

SEED = 20_260_101
ITEMS_PER_TOPIC = 180
USERS = 1200
FIRST_ITEM_ID = 1001
ITEM_ID_STEP = 7
FAVOURITE_TOPICS = 4
START_S = 1_735_689_600
SESSION_GAP_S = 86_400

# an item in so many is out of stock
OUT_OF_STOCK = 60


@dataclass(frozen=True, slots=True)
class Product:
    """One item with the traits that users prefer or do not."""

    item_id: int
    topic: str
    brand: str
    kind: str
    traits: frozenset[str]
    item: Item
    fame: int


def generate(seed: int = SEED) -> Dataset:
    """2,520 items over 14 topics, 1,200 users and about 100,000 interactions; the same for the same seed."""
    vocabulary: dict[str, Any] = json.loads((files("flagrank.offline.data") / "vocabulary.json").read_text("utf-8"))
    rng = random.Random(seed)  # noqa: S311 - data, not secrets
    products = _products(vocabulary, rng)
    items: dict[ItemId, Item] = {product.item_id: product.item for product in products}
    interactions = _interactions(vocabulary, products, rng)
    # drawn last: whatever is added here changes nothing above
    attributes = _attributes(products, rng)
    return Dataset(SYNTHETIC, interactions, items, _lexicon(vocabulary), attributes=attributes)


def _products(vocabulary: dict[str, Any], rng: random.Random) -> list[Product]:
    products = []
    item_id = FIRST_ITEM_ID
    for topic, content in vocabulary["topics"].items():
        for number in range(ITEMS_PER_TOPIC):
            kind = rng.choice(list(content["products"]))
            brand = rng.choice(vocabulary["brands"])
            attributes = rng.sample(content["attributes"], 3)
            uses = rng.sample(content["uses"], 2)
            words = [rng.choice(vocabulary["attributes"][attribute]) for attribute in attributes]
            noun = rng.choice(content["products"][kind])
            title = f"{brand} {words[0]} {noun} {rng.randint(100, 999)}"
            description = f"{words[1]} {words[2]} {kind} for {uses[0]} and {uses[1]}"
            traits = frozenset((brand, kind, *attributes))
            fame = 4000 // (number + 8)
            products.append(Product(item_id, topic, brand, kind, traits, Item(title, topic, description), fame))
            item_id += ITEM_ID_STEP
    return products


def _interactions(vocabulary: dict[str, Any], products: list[Product], rng: random.Random) -> Interactions:
    shelves = {topic: [product for product in products if product.topic == topic] for topic in vocabulary["topics"]}
    rows: list[tuple[int, int, int]] = []
    for user_id in range(1, USERS + 1):
        topics = rng.sample(list(shelves), FAVOURITE_TOPICS)
        liked = {*rng.sample(vocabulary["brands"], 4), *rng.sample(list(vocabulary["attributes"]), 5)}
        liked |= {rng.choice(list(vocabulary["topics"][topic]["products"])) for topic in topics}
        wanted = rng.randint(30, 140)
        now_s = START_S + rng.randrange(200) * SESSION_GAP_S
        weights: dict[str, list[int]] = {}
        chosen: set[int] = set()
        while len(chosen) < wanted:
            # one choice in six may be of any topic
            topic = rng.choice(list(shelves)) if rng.randrange(6) == 0 else rng.choices(topics, (4, 3, 2, 1))[0]
            if topic not in weights:
                weights[topic] = _cumulative(shelves[topic], liked)
            product = rng.choices(shelves[topic], cum_weights=weights[topic])[0]
            now_s += rng.randint(20, 900) if rng.randrange(6) else SESSION_GAP_S
            if product.item_id not in chosen:
                chosen.add(product.item_id)
                rows.append((user_id, product.item_id, now_s))
    users, items, timestamps = np.array(rows, np.int64).T
    return Interactions(users, items, np.ones(len(rows), np.float32), timestamps)


def _cumulative(shelf: list[Product], liked: set[str]) -> list[int]:
    # each trait that the user likes triples the weight, so that preferences matter beside popularity
    return list(itertools.accumulate(product.fame * 3 ** len(product.traits & liked) for product in shelf))


def _attributes(products: list[Product], rng: random.Random) -> dict[str, ItemAttribute]:
    usual_cents = {kind: rng.randint(8, 300) * 100 for kind in sorted({product.kind for product in products})}
    prices: dict[ItemId, float] = {}
    stock: dict[ItemId, int] = {}
    for product in products:
        cents = usual_cents[product.kind] * rng.randint(60, 160) // 100
        cents = cents * 2 if "premium" in product.traits else cents
        cents = cents // 2 if "budget" in product.traits else cents
        prices[product.item_id] = (cents // 100 * 100 + 90) / 100
        stock[product.item_id] = rng.randint(1, 250) if rng.randrange(OUT_OF_STOCK) else 0
    return {
        "price": ItemAttribute("number", prices),
        "stock": ItemAttribute("integer", stock),
        "brand": ItemAttribute("text", {product.item_id: product.brand for product in products}),
    }


def _lexicon(vocabulary: dict[str, Any]) -> Lexicon:
    synonyms = {}
    kinds = [content["products"] for content in vocabulary["topics"].values()]
    for canonical, words in itertools.chain(vocabulary["attributes"].items(), *(kind.items() for kind in kinds)):
        synonyms.update({word: canonical for word in words if word != canonical})
    return Lexicon(synonyms, {token: tuple(words) for token, words in vocabulary["expansions"].items()})
