"""Factors for items that nobody has met yet, guessed from their texts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flagrank.factors import Floats

MIN_ITEMS_PER_WORD = 5
MAX_WORDS = 1000
RIDGES = tuple(10.0**exponent for exponent in np.arange(-2, 3.5, 0.5))

type Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """Turns items into rows: category, words (weighted by rarity, unit length) and, if there are any, embeddings."""

    categories: tuple[str, ...]
    weights: dict[str, float]

    @classmethod
    def of(cls, categories: Sequence[str], texts: Sequence[str]) -> "TextFeatures":
        """These items' categories, and the words that enough of their rewritten texts share, at most MAX_WORDS."""
        counts = Counter(word for text in texts for word in set(text.split()))
        common = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:MAX_WORDS]
        rarity = {word: float(np.log(len(texts) / count)) for word, count in common if count >= MIN_ITEMS_PER_WORD}
        weights = {word: weight for word, weight in rarity.items() if weight > 0}
        return cls(tuple(sorted(set(categories))), weights)

    def table(self, categories: Sequence[str], texts: Sequence[str], embeddings: Floats | None) -> Matrix:
        """A row (1 + categories + words + e) of each item, the first column constant; `embeddings` (n, e)."""
        place = {word: at for at, word in enumerate(self.weights)}
        words = np.zeros((len(texts), len(place)))
        for row, text in enumerate(texts):
            for word in place.keys() & set(text.split()):
                words[row, place[word]] = self.weights[word]
        words /= np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12)
        is_of = np.array(categories, np.str_)[:, None] == np.array(self.categories, np.str_)
        meaning = np.empty((len(texts), 0)) if embeddings is None else embeddings
        return np.concatenate([np.ones((len(texts), 1)), is_of, words, meaning], axis=1)


def guess_factors(known: Matrix, factors: Floats, popularity: Floats, new: Matrix) -> Floats:
    """Factors (k, d) float32 for the rows `new` (k, f), by ridge regression from `known` (n, f) to `factors` (n, d).

    Items weigh by log popularity: the factors of the little known are mostly noise. The penalty is the one with the
    least leave-one-out error, which a ridge regression gives in closed form (Golub, Heath and Wahba 1979).
    """
    weight = np.sqrt(np.log1p(popularity.astype(np.float64)))[:, None]
    table, target = known * weight, factors * weight
    left, singular, right = np.linalg.svd(table, full_matrices=False)
    projected = left.T @ target

    def error(ridge: float) -> float:
        shrink = singular**2 / (singular**2 + ridge)
        residual = target - left @ (shrink[:, None] * projected)
        leverage = np.einsum("nk,k,nk->n", left, shrink, left)
        return float(np.square(residual / (1 - leverage)[:, None]).sum())

    ridge = min(RIDGES, key=error)
    slopes = right.T @ ((singular / (singular**2 + ridge))[:, None] * projected)
    guessed: Floats = (new @ slopes).astype(np.float32)
    return guessed
