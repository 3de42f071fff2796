"""What hostile sellers and users would write: tests/data/hostile_texts.json, and what is made of it."""

import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "hostile_texts.json"
LONG_CHARS = 100_000
PRODUCTS = ("wireless headset", "steel kettle", "folding bicycle", "red lamp")


def hostile_texts() -> list[str]:
    """More than 200 texts, none twice: each as it is, most of them beside a product's words, some very long."""
    groups: dict[str, list[str]] = json.loads(DATA.read_text())
    plain = [text for group in groups.values() for text in group]
    return list(dict.fromkeys([*plain, *_dressed(plain), *_long(plain)]))


def _dressed(plain: list[str]) -> Iterator[str]:
    for text, product in zip(plain, cycle(PRODUCTS), strict=False):
        yield f"{product} {text}"


def _long(plain: list[str]) -> Iterator[str]:
    for text in plain[::12]:
        yield (text + " ") * (LONG_CHARS // (len(text) + 1))
