"""Queries drawn from the whole catalogue, by kind, with what counts as an answer to each.

They know nothing of the user's candidates: a query may ask for what the user's taste would never have brought.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from random import Random

from flagrank.domain import ItemId, UserId
from flagrank.model.factors import Factors
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.evaluation.catalogue_texts import CatalogueTexts, ItemWords
from flagrank.offline.evaluation.query_kinds import KINDS, Kind, Wanted, made_up
from flagrank.offline.metrics.held_out_users import HeldOutUsers
from flagrank.rerank.intent import intent_of

# drawn anew when the choice of the weights changed: nothing was chosen by looking at its test half
SEED = 20_261_201
# a kind for which the catalogue has no queries is given up after so many tries for each
TRIES = 100

CHOSEN, SOME_WORDS, ALL_WORDS, ALL_AND_WISHES = 1, 1, 2, 3


class Part(IntEnum):
    """Which half of the draw: one to choose anything by, one to report. No query of words is in both."""

    VALIDATION = 0
    TEST = 1


@dataclass(frozen=True, slots=True)
class CatalogueQuery:
    """A user's query. `right` are the items that answer it, `grades` (1 to 3) those that do in whole or in part.

    Items that the user has seen are in neither, since no list may hold them.
    """

    user_id: UserId
    text: str
    right: frozenset[ItemId]
    grades: Mapping[ItemId, int]


type Draws = Mapping[str, list[CatalogueQuery]]


def draw(dataset: Dataset, factors: Factors, part: Part, count: int, seed: int = SEED) -> Draws:
    """`count` queries of each kind by users of the set; a kind that the catalogue has no words for is left out.

    Kinds of words: whoever asks, an item is right if its text meets every right word (see KINDS). Its grade is 1 if it
    meets at least half of them, 2 if all, 3 if besides all one of the words of the purpose or one that the lexicon says
    is implied; where the query has no such words the grades end at 2.

    Kinds of taste: what counts is what the user went on to choose, those of the held-out items that meet the words.
    `known_item` is two words of one of them, `taste` one word that says what kind of thing it is. `nothing` is two
    words that do not exist and are not within two edits of any that does: all held-out items are right, as without a
    query.
    """
    texts = CatalogueTexts.of(dataset)
    if not texts.items:
        return {}
    chosen = HeldOutUsers.of(dataset.held_out) if dataset.held_out is not None else HeldOutUsers([], [])
    found: dict[str, list[CatalogueQuery]] = {}
    for name, kind in KINDS.items():
        dice = Random(f"{seed} {name}")  # noqa: S311 - data, not secrets
        found[name] = list(itertools.islice(_by_words(texts, factors, kind, dice, part, count), count))
    for name, of_taste in TASTE_KINDS.items():
        dice = Random(f"{seed} {name} {part}")  # noqa: S311 - data, not secrets
        found[name] = [query for _ in range(count) if chosen.ids and (query := of_taste(texts, chosen, dice))]
    return {name: queries for name, queries in found.items() if queries}


def _by_words(
    texts: CatalogueTexts, factors: Factors, kind: Kind, dice: Random, part: Part, count: int
) -> Iterator[CatalogueQuery]:
    users = factors.user_ids.tolist()
    drawn = set[frozenset[str]]()
    for _ in range(TRIES * count):
        wanted = kind(texts, dice)
        if wanted is None or (words := frozenset(wanted.words + wanted.purpose)) in drawn:
            continue
        drawn.add(words)
        user_id = dice.choice(users)
        if len(drawn) % 2 != part:
            continue
        query = _graded(texts, wanted, user_id, _seen(factors, user_id))
        if query.right:
            yield query


def _seen(factors: Factors, user_id: UserId) -> set[ItemId]:
    row = factors.user_row(user_id)
    return set() if row is None else set(factors.item_ids[factors.seen(row)].tolist())


def _graded(texts: CatalogueTexts, wanted: Wanted, user_id: UserId, seen: set[ItemId]) -> CatalogueQuery:
    words, right = wanted.words, texts.holding(wanted.words) - seen
    grades = {
        item_id: SOME_WORDS
        for word in words
        for item_id in texts.holders[word] - seen
        if 2 * sum(each in texts.words[item_id].text for each in words) >= len(words)
    }
    wishes = {*wanted.purpose, *intent_of(words + wanted.purpose, texts.lexicon).expansions} - {*words}
    for item_id in right:
        grades[item_id] = ALL_AND_WISHES if wishes & texts.words[item_id].text else ALL_WORDS
    return CatalogueQuery(user_id, wanted.text, right, grades)


def _known_item(texts: CatalogueTexts, chosen: HeldOutUsers, dice: Random) -> CatalogueQuery | None:
    return _of_chosen(texts, chosen, dice, lambda item: item.spoken, 2)


def _taste(texts: CatalogueTexts, chosen: HeldOutUsers, dice: Random) -> CatalogueQuery | None:
    return _of_chosen(texts, chosen, dice, lambda item: item.category + item.product, 1)


def _of_chosen(
    texts: CatalogueTexts,
    chosen: HeldOutUsers,
    dice: Random,
    words_of: Callable[[ItemWords], tuple[str, ...]],
    count: int,
) -> CatalogueQuery | None:
    place = dice.randrange(len(chosen.ids))
    item = texts.words.get(dice.choice(sorted(chosen.relevant[place], key=str)))
    words = words_of(item) if item else ()
    if len(words) < count:
        return None
    asked = dice.sample(words, count)
    return _chosen(chosen.ids[place], " ".join(asked), texts.holding(asked) & chosen.relevant[place])


def _nothing(texts: CatalogueTexts, chosen: HeldOutUsers, dice: Random) -> CatalogueQuery | None:
    place = dice.randrange(len(chosen.ids))
    text = f"{made_up(texts, dice)} {made_up(texts, dice)}"
    return _chosen(chosen.ids[place], text, frozenset(chosen.relevant[place]))


def _chosen(user_id: UserId, text: str, right: frozenset[ItemId]) -> CatalogueQuery:
    return CatalogueQuery(user_id, text, right, dict.fromkeys(right, CHOSEN))


TASTE_KINDS = {"known_item": _known_item, "taste": _taste, "nothing": _nothing}
