"""Stage 2's models: they order the candidates of one request, with numpy alone.

Trees are stored as QuickScorer has them (Lucchese et al. 2015): every inner node that fails clears the leaves to its
left from a bit mask, and the leftmost leaf that is left is the one the walk would have reached. No walk, no branches.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

MAX_LEAVES = 8
ALL_LEAVES = 2**MAX_LEAVES - 1

# sums of products of these are finite, in float64 and as thresholds in float32
LARGEST = 1e12
Bounded = Annotated[FiniteFloat, Field(ge=-LARGEST, le=LARGEST)]

type Vector = npt.NDArray[np.float64]
# the sources of candidates that a set may name beside ALS
type SourceName = Literal["new", "similar"]
type Table = npt.NDArray[np.float32]

_LOWEST_BIT = np.array([0, *((mask & -mask).bit_length() - 1 for mask in range(1, ALL_LEAVES + 1))], np.intp)


class Linear(BaseModel):
    """A weighted sum of standardised features: (x - mean) / scale * weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[Bounded, ...]
    scale: tuple[Annotated[FiniteFloat, Field(ge=1 / LARGEST, le=LARGEST)], ...]
    weights: tuple[Bounded, ...]


class Tree(BaseModel):
    """One regression tree: an inner node holds where `feature` <= `threshold`; leaves are numbered from left to right.

    `kept` is the bit mask of the leaves that remain when the node does not hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: tuple[Annotated[int, Field(ge=0)], ...]
    threshold: tuple[Bounded, ...]
    kept: tuple[Annotated[int, Field(ge=1, le=ALL_LEAVES)], ...]
    leaves: Annotated[tuple[Bounded, ...], Field(min_length=1, max_length=MAX_LEAVES)]

    @model_validator(mode="after")
    def _has_one_leaf_more_than_nodes(self) -> Self:
        if not len(self.feature) == len(self.threshold) == len(self.kept) == len(self.leaves) - 1:
            raise ValueError("a tree has one leaf more than it has inner nodes")
        return self


class Stage2Document(BaseModel):
    """`stage2.json`: the model as published. `features` names the columns it reads, in order; `pool` candidates.

    `sources` names the sources of candidates beside ALS from which it learned.
    `min_history` is the fewest interactions that a user had from whom it learned: of those who have fewer it knows
    nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: Annotated[tuple[str, ...], Field(min_length=1)]
    pool: Annotated[int, Field(ge=1, le=1000)]
    sources: tuple[SourceName, ...] = ()
    min_history: Annotated[int, Field(ge=0)] = 0
    linear: Linear | None = None
    trees: tuple[Tree, ...] = ()

    @model_validator(mode="after")
    def _reads_its_features(self) -> Self:
        if self.linear is None and not self.trees:
            raise ValueError("neither a linear model nor trees")
        width = len(self.features)
        if self.linear and not len(self.linear.mean) == len(self.linear.scale) == len(self.linear.weights) == width:
            raise ValueError("the linear model needs one mean, scale and weight a feature")
        if any(feature >= width for tree in self.trees for feature in tree.feature):
            raise ValueError("a tree reads a feature that is not there")
        return self


class Model(Protocol):
    """Orders candidates by their features."""

    def score(self, table: Table) -> Vector:
        """Scores (c,) of the rows of a table (c, features); higher is better."""


class LinearModel:
    """`Linear`, ready to score."""

    def __init__(self, linear: Linear) -> None:
        self._slopes = np.array(linear.weights) / np.array(linear.scale)
        self._offset = float(np.array(linear.mean) @ self._slopes)

    def score(self, table: Table) -> Vector:
        """Scores (c,) of the rows of a table (c, features)."""
        # in rows, whatever the table's order: BLAS would add up in another order
        scores: Vector = table.astype(np.float64, order="C") @ self._slopes - self._offset
        return scores


class TreeEnsemble:
    """`Tree`s, ready to score: t trees, padded to MAX_LEAVES leaves.

    A row fails the nodes whose threshold its feature is above. Of each feature, what is left of every tree's leaves
    after the first i of its thresholds failed is worked out once, (thresholds + 1, t): a row's place among the
    thresholds then stands for all of the feature's nodes.
    """

    def __init__(self, trees: Sequence[Tree]) -> None:
        self._features = [_FeatureNodes(feature, trees) for feature in sorted({f for t in trees for f in t.feature})]
        leaves = np.zeros((len(trees), MAX_LEAVES))
        for number, tree in enumerate(trees):
            leaves[number, : len(tree.leaves)] = tree.leaves
        self._leaf_by_mask = leaves[:, _LOWEST_BIT].ravel()
        self._first_mask = np.arange(len(trees)) * len(_LOWEST_BIT)

    def score(self, table: Table) -> Vector:
        """Sums of the leaves (c,) that the rows of a table (c, features) reach."""
        columns = np.ascontiguousarray(table.T)
        alive = np.full((len(table), len(self._first_mask)), ALL_LEAVES, np.uint8)
        for nodes in self._features:
            alive &= nodes.kept(columns)
        scores: Vector = self._leaf_by_mask.take(alive + self._first_mask).sum(axis=1)
        return scores


class _FeatureNodes:
    """The inner nodes of one feature over all trees, by rising threshold."""

    def __init__(self, feature: int, trees: Sequence[Tree]) -> None:
        nodes = sorted(
            (threshold, number, kept)
            for number, tree in enumerate(trees)
            for name, threshold, kept in zip(tree.feature, tree.threshold, tree.kept, strict=True)
            if name == feature
        )
        self._feature = feature
        self._thresholds = _rounded_down(np.array([threshold for threshold, _, _ in nodes]))
        masks = np.full((len(nodes) + 1, len(trees)), ALL_LEAVES, np.uint8)
        for place, (_, number, kept) in enumerate(nodes, start=1):
            masks[place, number] = kept
        self._kept = np.bitwise_and.accumulate(masks, axis=0)

    def kept(self, columns: Table) -> npt.NDArray[np.uint8]:
        """The leaves (c, t) that rows keep, by the columns (features, c) of their table."""
        kept: npt.NDArray[np.uint8] = self._kept.take(self._thresholds.searchsorted(columns[self._feature]), axis=0)
        return kept


class Stage2:
    """A published model, ready to score. With both parts, the sum of their standardised scores."""

    def __init__(self, document: Stage2Document) -> None:
        self.document = document
        self._models: list[Model] = []
        if document.linear:
            self._models.append(LinearModel(document.linear))
        if document.trees:
            self._models.append(TreeEnsemble(document.trees))

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns it reads, in order."""
        return self.document.features

    @property
    def pool(self) -> int:
        """How many candidates it was trained to order."""
        return self.document.pool

    def score(self, table: Table) -> Vector:
        """Scores (c,) of one request's candidates, the rows of a table (c, features); higher is better."""
        if len(self._models) == 1:
            return self._models[0].score(table)
        scores: Vector = standardised(np.array([model.score(table) for model in self._models])).sum(axis=0)
        return scores


def standardised[F: np.floating](scores: npt.NDArray[F]) -> npt.NDArray[F]:
    """Scores (..., c) with mean 0 and deviation 1 over c; all 0 where they are flat. To the bit what `std` would give.

    One pass for all, since a call of `mean` or `std` costs as much as the sums of a whole request.
    """
    count = scores.shape[-1]
    if not count:
        return np.zeros_like(scores)
    centred = scores - np.add.reduce(scores, axis=-1, keepdims=True) / count
    deviation = np.sqrt(np.add.reduce(centred * centred, axis=-1, keepdims=True) / count)
    result: npt.NDArray[F] = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    return result


def _rounded_down(thresholds: Vector) -> Table:
    # a float32 is at most a threshold exactly if it is at most the largest float32 that is
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > thresholds, below, nearest)
