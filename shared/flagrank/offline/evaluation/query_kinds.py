"""What people write when they look for something, by kind: words of the catalogue's own texts, well or badly put."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from flagrank.offline.evaluation.catalogue_texts import CatalogueTexts, ItemWords, trigrams

VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxz"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SYLLABLES = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query as it is written, the `words` that an answer has to meet, folded, and those that say what it is for."""

    text: str
    words: tuple[str, ...]
    purpose: tuple[str, ...] = ()


type Kind = Callable[[CatalogueTexts, Random], Wanted | None]


def _item(texts: CatalogueTexts, dice: Random) -> ItemWords:
    return dice.choice(texts.items)


def _exact(texts: CatalogueTexts, dice: Random) -> Wanted | None:
    spoken = _item(texts, dice).spoken
    words = tuple(dice.sample(spoken, min(2, len(spoken))))
    return Wanted(" ".join(words), words) if len(words) == 2 else None


def _synonyms(texts: CatalogueTexts, dice: Random) -> Wanted | None:
    wanted = _exact(texts, dice)
    if wanted is None or not any(word in texts.surfaces for word in wanted.words):
        return None
    return replace(wanted, text=" ".join(dice.choice(texts.surfaces.get(word, [word])) for word in wanted.words))


def _misspelt(texts: CatalogueTexts, dice: Random) -> Wanted | None:
    wanted = _exact(texts, dice)
    if wanted is None:
        return None
    at = dice.randrange(len(wanted.words))
    wrong = misspell(wanted.words[at], dice)
    # what is a word of the catalogue as well nobody could tell from one that was meant
    if wrong in texts.known or wrong in wanted.words:
        return None
    return replace(wanted, text=" ".join(wrong if place == at else word for place, word in enumerate(wanted.words)))


def _one_wrong(texts: CatalogueTexts, dice: Random) -> Wanted | None:
    item, other = _item(texts, dice), _item(texts, dice)
    others = [word for word in other.spoken if word not in item.text]
    if len(item.spoken) < 2 or not others:
        return None
    words = dice.sample(item.spoken, 2)
    return Wanted(" ".join(dice.sample([*words, dice.choice(others)], 3)), tuple(words))


def _purpose(texts: CatalogueTexts, dice: Random) -> Wanted | None:
    item = _item(texts, dice)
    traits = [word for word in item.spoken if word not in item.category + item.product + item.purpose]
    if not traits or not item.product or not item.purpose:
        return None
    named, purpose = (dice.choice(traits), *item.product), dice.choice(item.purpose)
    return Wanted(f"{' '.join(named)} for {purpose}", named, (purpose,))


def _category(texts: CatalogueTexts, dice: Random) -> Wanted | None:
    category = _item(texts, dice).category
    words = tuple(dice.sample(category, min(2, len(category))))
    return Wanted(" ".join(words), words) if len(words) == 2 else None


# two words of one item's text; in other spellings of the lexicon; one of them misspelt; with one of another item; what
# it is and, behind "for", what it is for; two words of its category
KINDS: Mapping[str, Kind] = {
    "exact": _exact,
    "synonyms": _synonyms,
    "misspelt": _misspelt,
    "one_wrong": _one_wrong,
    "purpose": _purpose,
    "category": _category,
}


def misspell(word: str, dice: Random) -> str:
    """The word with one letter dropped, doubled, swapped with the next or replaced."""
    at = dice.randrange(len(word))
    before, letter, after = word[:at], word[at], word[at + 1 :]
    return dice.choice(
        [
            before + after,
            before + 2 * letter + after,
            before + after[:1] + letter + after[1:],
            before + dice.choice(LETTERS) + after,
        ]
    )


def made_up(texts: CatalogueTexts, dice: Random) -> str:
    """A word that is not within two edits of any that the catalogue knows."""
    while True:
        word = "".join(dice.choice(CONSONANTS) + dice.choice(VOWELS) for _ in range(SYLLABLES))
        # two edits of ten letters leave three in a row, so it is not like any word that has no such three
        if texts.trigrams.isdisjoint(trigrams(word)):
            return word
