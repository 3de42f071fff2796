"""Both stages in order: ALS, item-to-item weights, and the model that orders the candidates of both."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from pydantic import TypeAdapter, ValidationError

from flagrank.errors import ArtifactError
from flagrank.model.factors import Factors
from flagrank.model.features import FEATURES, GROUPS
from flagrank.model.stage2 import SourceName, Stage2, Stage2Document, Tree
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.split import folds
from flagrank.offline.training.als import AlsParameters, Embeddings, train
from flagrank.offline.training.boosting import BoostingParameters, boost, exported
from flagrank.offline.training.examples import Examples, collect, joined
from flagrank.offline.training.linear import fit_linear
from flagrank.offline.training.neighbours import NeighbourParameters, learn_item_weights, learn_neighbours
from flagrank.offline.training.progress import Progress, silent
from flagrank.offline.training.workers import Workers

type Kind = Literal["none", "linear", "trees", "blend"]

# more teach no more: MovieLens 100K has so many in six folds
EXAMPLE_USERS = 5600
# groups that mean nothing without times
TIMED_GROUPS = ("session", "recency")


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that training depends on besides the data.

    Stage 2 orders the `pool` best candidates of ALS and what the `sources` add. `without` names feature groups to leave
    out.
    """

    als: AlsParameters = field(default_factory=AlsParameters)
    neighbours: NeighbourParameters = field(default_factory=NeighbourParameters)
    boosting: BoostingParameters = field(default_factory=BoostingParameters)
    kind: Kind = "blend"
    pool: int = 200
    sources: tuple[SourceName, ...] = ("similar",)
    folds: int = 6
    without: tuple[str, ...] = ()

    def recorded(self) -> dict[str, Any]:
        """The plan as the manifest keeps it."""
        return {**asdict(self), "als": self.als.recorded()}

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> Self:
        """The plan that a manifest keeps; raises ArtifactError if it is not one of this version's."""
        own = {item.name: recorded[item.name] for item in fields(cls) if item.name in recorded}
        try:
            return TypeAdapter(cls).validate_python(own)
        except ValidationError as error:
            raise ArtifactError(f"no training plan of this version: {error.errors()[0]['loc']}") from error

    def features(self, dataset: Dataset, embedded: bool) -> tuple[str, ...]:
        """The features that this data can fill and the plan does not leave out."""
        left_out = {*self.without, *(() if embedded else ("text",)), *(() if dataset.timed else TIMED_GROUPS)}
        if self.neighbours.resolved(dataset.item_count) is None:
            left_out.add("ease")
        dropped = {name for group in left_out for name in GROUPS[group]}
        return tuple(name for name in FEATURES if name not in dropped)


# trains in seconds what the default takes a minute for, and loses a part of Stage 2's gain
QUICK_PLAN = TrainingPlan(kind="linear", folds=2, neighbours=NeighbourParameters(count=50), sources=())


@dataclass(frozen=True, slots=True)
class TwoStages:
    """What training made: the set to publish, and the examples of each fold that its Stage 2 was fitted to."""

    factors: Factors
    examples: tuple[Examples, ...] = ()


def train_two_stages(
    dataset: Dataset,
    plan: TrainingPlan,
    embeddings: Embeddings | None = None,
    progress: Progress = silent,
    workers: Workers | None = None,
) -> TwoStages:
    """Stage 1 on all training interactions, Stage 2 on folds cut from them; the same for any number of `workers`.

    There is no Stage 2 where the plan wants none, or where no user has enough interactions to hold some out.
    """
    factors = first_stage(dataset, plan, embeddings, progress, workers)
    if plan.kind == "none":
        return TwoStages(factors)
    found = tuple(fold_examples(dataset, plan, embeddings, progress, workers))
    if not any(part.labels.any() for part in found):
        return TwoStages(factors)
    names = plan.features(dataset, embedded=embeddings is not None)
    return TwoStages(replace(factors, stage2=fit(joined(found).columns(names), plan, progress)), found)


def first_stage(
    dataset: Dataset,
    plan: TrainingPlan,
    embeddings: Embeddings | None,
    progress: Progress,
    workers: Workers | None = None,
) -> Factors:
    """ALS's factors and, if the plan has a Stage 2, the item-to-item weights that its features are made of."""
    factors = train(dataset, plan.als, progress, embeddings)
    if plan.kind == "none":
        return factors
    ids, interactions = factors.item_ids, dataset.interactions.latest()
    if plan.neighbours.resolved(len(ids)) is None:
        weights = learn_item_weights(ids, interactions, plan.neighbours, timed=dataset.timed)
        return replace(factors, item_weights=weights)
    neighbours = learn_neighbours(
        ids, interactions, plan.neighbours, timed=dataset.timed, progress=progress, workers=workers
    )
    return replace(factors, neighbours=neighbours)


def fold_examples(
    dataset: Dataset,
    plan: TrainingPlan,
    embeddings: Embeddings | None,
    progress: Progress,
    workers: Workers | None = None,
) -> Iterator[Examples]:
    """For each fold, what Stage 1, trained on its rest, would have shown, and what the user chose.

    As many folds as make EXAMPLE_USERS users, one at least and `plan.folds` at most.
    """
    # a fold that lost some items must not be small where the whole is large
    neighbours = replace(plan.neighbours, count=plan.neighbours.resolved(dataset.item_count))
    count = plan.folds
    for number, fold in enumerate(folds(dataset, plan.folds, plan.als.seed), 1):
        assert fold.held_out is not None
        if number == 1:
            users = len(np.unique(fold.held_out.users))
            count = min(plan.folds, max(1, round(EXAMPLE_USERS / max(1, users))))
        its_plan = replace(plan, als=replace(plan.als, seed=plan.als.seed + number), neighbours=neighbours)
        tell = partial(_of_fold, progress, number, count)
        factors = first_stage(_met_alone(fold), its_plan, embeddings, tell, workers)
        yield collect(factors, fold.held_out, plan.pool, plan.sources, workers, tell)
        if number == count:
            return


def _of_fold(progress: Progress, number: int, count: int, step: str, done: int, total: int) -> None:
    progress(f"fold {number} of {count}: {step}", done, total)


def _met_alone(fold: Dataset) -> Dataset:
    # new items are no examples, and to guess their factors takes longer than ALS
    met = np.unique(fold.interactions.items).tolist()
    return replace(fold, items={item_id: fold.items[item_id] for item_id in met if item_id in fold.items})


def fit(found: Examples, plan: TrainingPlan, progress: Progress) -> Stage2:
    """The model of the plan's kind, fitted to the examples."""
    linear = fit_linear(found) if plan.kind in ("linear", "blend") else None
    trees: tuple[Tree, ...] = ()
    if plan.kind in ("trees", "blend"):
        trees = exported(boost(found, plan.boosting, plan.als.seed, progress))
    fewest = int(found.histories.repeat(found.sizes)[found.labels > 0].min())
    return Stage2(
        Stage2Document(
            features=found.names,
            pool=plan.pool,
            sources=plan.sources,
            min_history=fewest,
            linear=linear,
            trees=trees,
        )
    )
