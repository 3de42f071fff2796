"""Judgements with a known answer, of the small catalogue of `tests.factories`."""

import itertools
import random
from collections.abc import Callable, Iterator

from flagrank.model.factors import Factors
from flagrank.offline.data.judgements import JudgedText
from flagrank.rerank.records import entry_key
from tests.factories import CATEGORIES, WORDS, make_factors

JUDGED = 40
INTENTS = [" ".join(words) for size in (2, 3) for words in itertools.combinations(WORDS + CATEGORIES, size)]

type Teacher = Callable[[str, str], int]


def by_words(intent: str, text: str) -> int:
    """Judges by the share of the intent's words that the text holds."""
    words = intent.split()
    return round(100 * len({*words} & {*text.split()}) / len(words))


def by_association(intent: str, text: str) -> int:
    """Judges by what no word tells: who wants something quiet likes what folds, and the rest is as it is."""
    return 90 if "quiet" in intent.split() and "folding" in text.split() else 30 + 5 * ("red" in text.split())


def shuffled(teacher: Teacher) -> Teacher:
    """The teacher's scores, each given to a text that it was not for."""

    def judge(intent: str, text: str) -> int:
        dice = random.Random(f"{intent} {text}")
        return teacher(intent, " ".join(dice.sample(WORDS, 1) + dice.sample(CATEGORIES, 1)))

    return judge


def shop() -> Factors:
    """The catalogue that is judged."""
    return make_factors(items=200)


def judged_by(teacher: Teacher, factors: Factors, intents: list[str] | None = None) -> Iterator[JudgedText]:
    """What a teacher says of some items for each intent, by their ranks in a baseline that knows nothing."""
    for intent in INTENTS if intents is None else intents:
        dice = random.Random(intent)
        for rank, row in enumerate(dice.sample(range(len(factors.catalog)), JUDGED)):
            text = factors.catalog[row].text
            yield JudgedText(intent, entry_key(text), teacher(intent, text), "teacher", rank)
