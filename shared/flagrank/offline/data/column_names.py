"""Which column of a file is what: usual names are recognised, and `--columns` names others. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flagrank.errors import DataError

# by part, the usual names in the order in which they are preferred: lower case, without what separates words
INTERACTION_NAMES: Mapping[str, tuple[str, ...]] = {
    "user": tuple(
        "userid user uid customerid customer visitorid visitor memberid accountid clientid reviewerid".split()
    ),
    "item": tuple(
        "itemid item productid product movieid movie sku articleid article trackid songid bookid isbn parentasin asin "
        "contentid".split()
    ),
    "rating": tuple("rating ratings score stars overall weight".split()),
    "time": tuple("timestamp ts time eventtime datetime date createdat unixreviewtime timestampms".split()),
    "event": tuple("eventtype event action behavior behaviour interactiontype".split()),
}
ITEM_NAMES: Mapping[str, tuple[str, ...]] = {
    "item": (*INTERACTION_NAMES["item"], "id"),
    "title": tuple("title name producttitle productname itemname itemtitle movietitle".split()),
    "category": tuple("category maincategory categorycode genres genre categories department".split()),
    "description": tuple("description desc summary overview productdescription".split()),
}
# what a log of events often says of the item, and not of the event
ATTRIBUTES_OF_EVENTS = frozenset("brand price manufacturer author artist publisher color colour size year".split())

PARTS = tuple(dict.fromkeys((*INTERACTION_NAMES, *ITEM_NAMES)))


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read files of interactions: columns by part (see `PARTS`), and what each type of event counts.

    Without weights each event counts one.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def parse_columns(text: str) -> dict[str, str]:
    """`user=..,item=..,time=..` as a mapping; raises DataError that says what is expected."""
    columns = dict(_pairs("--columns", text, "user=NAME,item=NAME"))
    for part in columns:
        if part not in PARTS:
            raise DataError("--columns", None, f"expected one of {', '.join(PARTS)} before the =, got {part!r}")
    return columns


def parse_weights(text: str) -> dict[str, float]:
    """`view=1,cart=3` as a mapping; raises DataError that says what is expected."""
    weights = {}
    for event, written in _pairs("--weights", text, "view=1,cart=3,purchase=5"):
        try:
            weights[event] = float(written)
        except ValueError:
            weights[event] = 0.0
        if not 0 < weights[event] <= 1e6:
            raise DataError(
                "--weights", None, f"expected a number above 0 and up to 1e+06 for {event}, got {written!r}"
            )
    return weights


def recognised(
    header: Sequence[str], names: Mapping[str, tuple[str, ...]], chosen: Mapping[str, str]
) -> dict[str, str]:
    """The column of each part that the header has, a chosen one first. No column is two parts."""
    plain: dict[str, str] = {}
    for name in header:
        # of two columns with one plain name the first is meant
        plain.setdefault(re.sub(r"[^a-z0-9]", "", name.lower()), name)
    found: dict[str, str] = {part: name for part, name in chosen.items() if part in names and name in header}
    for part, usual in names.items():
        taken = {*chosen.values(), *found.values()}
        free = [plain[name] for name in usual if name in plain and plain[name] not in taken]
        if part not in chosen and free:
            found[part] = free[0]
    return found


def _pairs(option: str, text: str, example: str) -> list[tuple[str, str]]:
    pairs = [tuple(map(str.strip, entry.split("=", 1))) for entry in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs) or len({pair[0] for pair in pairs}) < len(pairs):
        raise DataError(option, None, f"expected {example}, each name once, got {text!r}")
    return [(name, value) for name, value in pairs]
