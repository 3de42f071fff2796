"""MovieLens 100K's folder (Harper and Konstan 2015): `u.item`, `u.genre`, and a split's `.base` and `.test`."""

import re
from pathlib import Path

import numpy as np

from flagrank.domain import ItemId
from flagrank.errors import DataError
from flagrank.model.factors import Lexicon
from flagrank.offline.data.interactions import Dataset, Interactions, Item

ITEMS = "u.item"
GENRES = "u.genre"
DEFAULT_SPLIT = "ua"
FIELDS_BEFORE_GENRES = 5

_RATING = re.compile(r"(\d{1,18})\t(\d{1,18})\t([1-5])\t(\d{1,18})")
_YEAR = re.compile(r"\((\d{4})\)")


def read(folder: Path, split: str = DEFAULT_SPLIT) -> Dataset:
    """The split's base to train on and its test held out; raises DataError naming file and line.

    Refuses a base that holds some of the test: there are public copies whose test was appended to the base.
    """
    base, test = _ratings(folder / f"{split}.base"), _ratings(folder / f"{split}.test")
    shared = len(_pairs(base) & _pairs(test))
    if shared:
        expected = f"expected none of the user-item pairs of {split}.test, found {shared}; get a clean copy"
        raise DataError(str(folder / f"{split}.base"), None, expected)
    return Dataset(
        name=f"MovieLens 100K, {split}",
        interactions=base,
        held_out=test,
        items=_items(folder / ITEMS, _genres(folder / GENRES)),
        lexicon=Lexicon({}, {}),
        random_split=True,
    )


def _lines(path: Path) -> list[str]:
    try:
        # not splitlines: latin-1 knows line breaks that are no line ends here, such as 0x85
        return path.read_text("latin-1").rstrip("\n").split("\n")
    except OSError as error:
        raise DataError(str(path), None, f"cannot be read: {error.strerror}") from error


def _ratings(path: Path) -> Interactions:
    rows = []
    for number, line in enumerate(_lines(path), 1):
        found = _RATING.fullmatch(line)
        if found is None:
            raise DataError(str(path), number, "expected user, item, rating 1..5 and timestamp, tab-separated")
        rows.append(tuple(map(int, found.groups())))
    users, items, ratings, timestamps = np.array(rows, np.int64).T
    return Interactions(users, items, ratings.astype(np.float32), timestamps)


def _pairs(ratings: Interactions) -> set[tuple[int, int]]:
    return set(zip(ratings.users.tolist(), ratings.items.tolist(), strict=True))


def _genres(path: Path) -> list[str]:
    names = [line.rpartition("|")[0] for line in _lines(path) if line.strip()]
    if not names or not all(names):
        raise DataError(str(path), None, "expected lines of genre|number")
    return names


def _items(path: Path, genres: list[str]) -> dict[ItemId, Item]:
    items: dict[ItemId, Item] = {}
    for number, line in enumerate(_lines(path), 1):
        fields = line.split("|")
        if len(fields) != FIELDS_BEFORE_GENRES + len(genres) or not fields[0].isdecimal():
            raise DataError(str(path), number, f"expected an id, four texts and {len(genres)} genre flags, |-separated")
        title, flags = fields[1], fields[FIELDS_BEFORE_GENRES:]
        its_genres = [genre for genre, flag in zip(genres, flags, strict=True) if flag == "1"]
        year = _YEAR.search(title)
        decade = [f"{year[1][:3]}0s"] if year else []
        items[int(fields[0])] = Item(title, its_genres[0] if its_genres else "unknown", " ".join(its_genres + decade))
    return items
