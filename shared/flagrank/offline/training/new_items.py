"""Factors for items without interactions, predicted from their texts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flagrank.model.arrays import Floats, Rows

MIN_ITEMS_PER_WORD = 5
MAX_WORDS = 1000
# free text as a category would make a column for each item
MAX_CATEGORIES = 200
# the regression is fitted to the most popular items: the factors of others are noise, and each costs time
MAX_KNOWN = 10_000
RIDGES = tuple(10.0**exponent for exponent in np.arange(-2, 3.5, 0.5))

# a row of features for each item, (n, f)
type FeatureRows = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """Turns items into rows: category, words (weighted by rarity, unit length) and, if there are any, embeddings."""

    categories: tuple[str, ...]
    weights: dict[str, float]

    @classmethod
    def of(cls, categories: Sequence[str], texts: Sequence[str]) -> "TextFeatures":
        """These items' commonest categories, at most MAX_CATEGORIES, and the words that enough of their texts share.

        Texts are rewritten ones; of the words the commonest MAX_WORDS.
        """
        common = _commonest(Counter(word for text in texts for word in set(text.split())), MAX_WORDS)
        rarity = {word: float(np.log(len(texts) / count)) for word, count in common if count >= MIN_ITEMS_PER_WORD}
        weights = {word: weight for word, weight in rarity.items() if weight > 0}
        kept = _commonest(Counter(categories), MAX_CATEGORIES)
        return cls(tuple(sorted(category for category, _ in kept)), weights)

    def table(self, categories: Sequence[str], texts: Sequence[str], embeddings: Floats | None) -> FeatureRows:
        """A row (1 + categories + words + e) of each item, the first column constant; `embeddings` (n, e)."""
        place = {word: at for at, word in enumerate(self.weights)}
        words = np.zeros((len(texts), len(place)))
        for row, text in enumerate(texts):
            for word in place.keys() & set(text.split()):
                words[row, place[word]] = self.weights[word]
        words /= np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12)
        column = {category: at for at, category in enumerate(self.categories)}
        is_of = np.zeros((len(texts), len(column)))
        for row, category in enumerate(categories):
            if category in column:
                is_of[row, column[category]] = 1
        meaning = np.empty((len(texts), 0)) if embeddings is None else embeddings
        return np.concatenate([np.ones((len(texts), 1)), is_of, words, meaning], axis=1)


def _commonest(counts: Counter[str], most: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:most]


def most_popular(popularity: Floats) -> Rows:
    """The places of the MAX_KNOWN most popular items, rising."""
    return np.sort(np.argsort(-popularity, kind="stable")[:MAX_KNOWN])


def predict_factors(known: FeatureRows, factors: Floats, popularity: Floats, new: Iterable[FeatureRows]) -> Floats:
    """Factors (k, d) float32 for `new`, by ridge regression from `known` (n, f) to `factors` (n, d).

    `new` is k rows (f,) in parts of any size, so that they need not all be in memory at once.
    Items weigh by log popularity: the factors of unpopular items are mostly noise. The penalty is the one with the
    least leave-one-out error, which a ridge regression gives in closed form (Golub, Heath and Wahba 1979).
    """
    weight = np.sqrt(np.log1p(popularity.astype(np.float64)))[:, None]
    table, target = known * weight, factors * weight
    # of table' table, which is as small as a row: an SVD of the table takes ten times as long
    squared, directions = np.linalg.eigh(table.T @ table)
    squared = np.maximum(squared, 0)
    turned = table @ directions
    projected = turned.T @ target
    turned_squared = np.square(turned)

    def error(ridge: float) -> float:
        shrink = 1 / (squared + ridge)
        residual = target - turned @ (shrink[:, None] * projected)
        leverage = turned_squared @ shrink
        return float(np.square(residual / (1 - leverage)[:, None]).sum())

    ridge = min(RIDGES, key=error)
    slopes = directions @ (projected / (squared + ridge)[:, None])
    return np.concatenate([(part @ slopes).astype(np.float32) for part in new])
