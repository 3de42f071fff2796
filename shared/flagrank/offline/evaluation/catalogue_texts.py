"""The words of a catalogue as its sellers wrote them: they decide whether an item is what a query asks for."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from flagrank.domain import ItemId
from flagrank.model.factors import Lexicon
from flagrank.offline.data.interactions import SYNTHETIC, Dataset, Item
from flagrank.rerank.intent import STOP_WORDS, tokenise


@dataclass(frozen=True, slots=True)
class ItemWords:
    """An item's words, synonyms folded, without model numbers and years, which nobody asks for.

    `text` are all of them and `spoken` those that people search by. `category` and `product` say what kind of thing it
    is, `purpose` what it is for.
    """

    text: frozenset[str]
    spoken: tuple[str, ...]
    category: tuple[str, ...]
    product: tuple[str, ...] = ()
    purpose: tuple[str, ...] = ()


type Reader = Callable[[Item, Lexicon], ItemWords]


@dataclass(frozen=True)
class CatalogueTexts:
    """The words of every item and the items of every word, both by what is folded.

    `surfaces` are the lexicon's other spellings of a word, `known` all words in any spelling, and `trigrams` whatever
    three letters are next to each other in one of them.

    Made from the raw texts and not from what was published: an evaluation by the index that it is to judge would agree
    with it.
    """

    words: Mapping[ItemId, ItemWords]
    holders: Mapping[str, frozenset[ItemId]]
    surfaces: Mapping[str, Sequence[str]]
    known: frozenset[str]
    trigrams: frozenset[str]
    lexicon: Lexicon

    @classmethod
    def of(cls, dataset: Dataset) -> "CatalogueTexts":
        """The texts of a dataset's items."""
        read = READERS.get(dataset.name.partition(",")[0], _plain)
        words = {item_id: read(item, dataset.lexicon) for item_id, item in dataset.items.items()}
        holders = defaultdict[str, set[ItemId]](set)
        for item_id, item_words in words.items():
            for word in item_words.text:
                holders[word].add(item_id)
        surfaces = defaultdict[str, list[str]](list)
        for surface, word in sorted(dataset.lexicon.synonyms.items()):
            surfaces[word].append(surface)
        known = holders.keys() | dataset.lexicon.synonyms.keys() | STOP_WORDS
        return cls(
            words=words,
            holders={word: frozenset(item_ids) for word, item_ids in holders.items()},
            surfaces=dict(surfaces),
            known=frozenset(known),
            trigrams=frozenset(three for word in known for three in trigrams(word)),
            lexicon=dataset.lexicon,
        )

    @cached_property
    def items(self) -> Sequence[ItemWords]:
        """Every item."""
        return list(self.words.values())

    def holding(self, words: Iterable[str]) -> frozenset[ItemId]:
        """The items whose texts hold all of the words."""
        first, *others = (self.holders.get(word, frozenset[ItemId]()) for word in words)
        return first.intersection(*others)


def trigrams(word: str) -> set[str]:
    """Every three letters of a word that are next to each other."""
    return {word[at : at + 3] for at in range(len(word) - 2)}


def _plain(item: Item, lexicon: Lexicon) -> ItemWords:
    every = _words(f"{item.title} {item.category} {item.description}", lexicon)
    return ItemWords(frozenset(every), every, _words(item.category, lexicon))


def _shop(item: Item, lexicon: Lexicon) -> ItemWords:
    # "Esker cordless headset 310", audio, "quiet premium headset for calls and music"
    plain = _plain(item, lexicon)
    product = _words(item.title, lexicon)[-1]
    purpose = _words(item.description.partition(" for ")[2], lexicon)
    return ItemWords(plain.text, plain.spoken, plain.category, (product,), purpose)


def _films(item: Item, lexicon: Lexicon) -> ItemWords:
    # the genres and the decade are the description
    genres = tuple(word for word in _words(item.description, lexicon) if not word[0].isdecimal())
    return ItemWords(_plain(item, lexicon).text, _words(item.title, lexicon), genres)


READERS: Mapping[str, Reader] = {SYNTHETIC: _shop, "MovieLens 100K": _films}


def _words(text: str, lexicon: Lexicon) -> tuple[str, ...]:
    return tuple(word for word in tokenise(text, lexicon) if len(word) > 1 and not word.isdecimal())
