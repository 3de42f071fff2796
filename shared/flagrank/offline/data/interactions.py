"""Interactions and item texts, as read from any source."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.domain import AttributeValue, ItemId
from flagrank.model.attributes import AttributeType
from flagrank.model.factors import Lexicon

SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class Item:
    """An item's raw texts."""

    title: str
    category: str
    description: str


@dataclass(frozen=True, slots=True)
class ItemAttribute:
    """One attribute of the items: its type, and the value of each item that has one."""

    type: AttributeType
    values: Mapping[ItemId, AttributeValue]


@dataclass(frozen=True, slots=True)
class Interactions:
    """One row per interaction, all (n,): user and item ids (int64 or str), value float32, timestamp int64 (s).

    `value` is a rating or 1 where the source has none; `timestamp` is the row's number where the source has none.
    """

    users: npt.NDArray[Any]
    items: npt.NDArray[Any]
    values: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def select(self, keep: npt.NDArray[Any]) -> "Interactions":
        """The rows of a mask or an index array."""
        return Interactions(self.users[keep], self.items[keep], self.values[keep], self.timestamps[keep])

    def joined(self, other: "Interactions") -> "Interactions":
        """These rows and the other's."""
        pairs = ((getattr(self, item.name), getattr(other, item.name)) for item in fields(self))
        return Interactions(*(np.concatenate(pair) for pair in pairs))

    def pairs(self) -> npt.NDArray[np.int64]:
        """A number for each row's pair of user and item, (n,): equal pairs have equal numbers."""
        _, user = np.unique(self.users, return_inverse=True)
        _, item = np.unique(self.items, return_inverse=True)
        numbers: npt.NDArray[np.int64] = user.astype(np.int64) * (int(item.max(initial=0)) + 1) + item
        return numbers

    def latest(self) -> "Interactions":
        """Each user-item pair once, in its latest row; rows by rising timestamp."""
        order = np.argsort(self.timestamps, kind="stable")
        ordered = self.select(order)
        pairs = ordered.pairs()
        _, last_from_end = np.unique(pairs[::-1], return_index=True)
        return ordered.select(np.sort(len(pairs) - 1 - last_from_end))


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a source holds: training interactions, held-out ones if the source splits itself, item texts, vocabulary.

    `attributes` are the items' own, by name. `random_split`: the held-out ones were drawn at random, not taken from the
    end. `timed`: the timestamps are times. `notes` say what was ignored or converted on reading.
    """

    name: str
    interactions: Interactions
    items: dict[ItemId, Item]
    lexicon: Lexicon = field(default_factory=lambda: Lexicon({}, {}))
    held_out: Interactions | None = None
    random_split: bool = False
    timed: bool = True
    attributes: Mapping[str, ItemAttribute] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def item_count(self) -> int:
        """How many items there are, met or not."""
        return len(self.items.keys() | set(np.unique(self.interactions.items).tolist()))

    def item(self, item_id: ItemId) -> Item:
        """The item's texts; a stand-in where the source has none."""
        return self.items.get(item_id) or Item(f"Item {item_id}", "unknown", "")


def ids_array(raw: list[str]) -> npt.NDArray[Any]:
    """Ids as int64 if every one is a canonical integer that fits, else as str."""
    try:
        values = [int(text) for text in raw]
    except ValueError:
        return np.array(raw, np.str_)
    canonical = all(str(value) == text and abs(value) < 10**18 for value, text in zip(values, raw, strict=True))
    return np.array(values, np.int64) if canonical else np.array(raw, np.str_)
