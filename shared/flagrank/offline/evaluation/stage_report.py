"""The quality of both stages, measured on the lists that serving gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import User, resolve_user
from flagrank.domain import ItemId, Recommendation, UserId
from flagrank.errors import DataError
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.split import HELD_OUT_PER_USER, held_out_last
from flagrank.offline.evaluation import replay
from flagrank.offline.metrics import beyond_accuracy
from flagrank.offline.metrics.held_out_users import HeldOutUsers, Lists
from flagrank.offline.metrics.ranking import PerUser, bootstrap
from flagrank.offline.training.als import Embeddings
from flagrank.offline.training.examples import Examples
from flagrank.offline.training.progress import Progress, silent
from flagrank.offline.training.two_stage import TrainingPlan, train_two_stages

CURVE = (1, 2, 5, 10, 20, 50, 100)
ACTIVITY_GROUPS = 5


@dataclass(frozen=True, slots=True)
class Trained:
    """A dataset's two stages and its test users, with the lists that each stage serves them."""

    dataset: Dataset
    plan: TrainingPlan
    factors: Factors
    examples: tuple[Examples, ...] = field(repr=False)
    users: HeldOutUsers
    embeddings: Embeddings | None
    stage1: list[Recommendation] = field(repr=False)
    stage2: list[Recommendation] = field(repr=False)


def prepare(
    dataset: Dataset, plan: TrainingPlan, embeddings: Embeddings | None = None, progress: Progress = silent
) -> Trained:
    """Trains on the base and asks for every user with held-out items; nothing is tuned here.

    A dataset that does not split itself has each user's last interactions held out; raises DataError if nobody has
    enough of them.
    """
    if dataset.held_out is None:
        dataset = held_out_last(dataset)
    held_out = dataset.held_out
    if held_out is None or not len(held_out):
        raise DataError(dataset.name, None, f"nothing to hold out: no user has {2 * HELD_OUT_PER_USER} interactions")
    stages = train_two_stages(dataset, plan, embeddings, progress)
    factors = stages.factors
    users = HeldOutUsers.of(held_out)
    stage1 = replay.answers(replay.baseline(replace(factors, stage2=None)), users.ids)
    stage2 = replay.answers(replay.baseline(factors), users.ids)
    return Trained(dataset, plan, factors, stages.examples, users, embeddings, stage1, stage2)


def report(trained: Trained) -> dict[str, Any]:
    """The JSON report of both stages."""
    users = trained.users
    pools = [_pool(trained, user_id) for user_id in users.ids]
    lists = {
        "popularity": [_popular(trained.factors, user_id) for user_id in users.ids],
        "stage1": replay.item_ids(trained.stage1),
        "stage2": replay.item_ids(trained.stage2),
    }
    quality = {name: users.quality(served) for name, served in lists.items()}
    gain = difference(quality["stage2"], quality["stage1"])
    return {
        "dataset": trained.dataset.name,
        "users": len(users.ids),
        "parameters": trained.plan.recorded(),
        **{name: means(values) for name, values in quality.items()},
        "delta": intervals(gain),
        "oracle": means(users.quality(_best_first(pools, users.relevant))),
        "beyond_accuracy": {
            "stage1": _beyond_accuracy(trained, trained.stage1),
            "stage2": _beyond_accuracy(trained, trained.stage2),
        },
        "curve": {name: intervals(users.quality(served, CURVE)) for name, served in lists.items()},
        "gain_by_activity": _by_activity(trained, gain["ndcg@10"]),
    }


def means(values: Mapping[str, PerUser]) -> dict[str, float]:
    """Means over users, to six digits."""
    return {name: round(float(value.mean()), 6) for name, value in values.items()}


def difference(one: Mapping[str, PerUser], other: Mapping[str, PerUser]) -> dict[str, PerUser]:
    """`one` minus `other`, by user."""
    return {name: one[name] - other[name] for name in one}


def intervals(values: Mapping[str, PerUser]) -> dict[str, Any]:
    """Means over users with 95 % confidence intervals; for differences that is the paired bootstrap."""
    return {name: bootstrap(value).document() for name, value in values.items()}


def _pool(trained: Trained, user_id: UserId) -> list[ItemId]:
    user = resolve_user(trained.factors, user_id, NO_ROWS)
    stage2 = trained.factors.stage2
    size = max(stage2.pool if stage2 else 0, replay.LIST_LENGTH)
    return [
        trained.factors.item_id(row) for row in generate(trained.factors, CandidateRequest(user, size)).rows.tolist()
    ]


def _popular(factors: Factors, user_id: UserId) -> list[ItemId]:
    user = resolve_user(factors, user_id, NO_ROWS)
    stranger = User(user.kind, None, user.seen)
    return [
        factors.item_id(row) for row in generate(factors, CandidateRequest(stranger, replay.LIST_LENGTH)).rows.tolist()
    ]


def _best_first(pools: Lists, relevant: Sequence[set[ItemId]]) -> Lists:
    return [sorted(pool, key=lambda item_id: item_id not in hits) for pool, hits in zip(pools, relevant, strict=True)]


def _beyond_accuracy(trained: Trained, answered: Sequence[Recommendation]) -> dict[str, float]:
    factors, lists = trained.factors, beyond_accuracy.rows_at(answered)
    return {
        "coverage@10": round(beyond_accuracy.coverage(factors, lists), 6),
        **means(
            {
                "novelty_bits@10": beyond_accuracy.novelty(factors, lists),
                "popularity_shift@10": beyond_accuracy.popularity_shift(factors, answered, lists),
                "diversity@10": beyond_accuracy.intra_list_diversity(factors.item_factors, lists),
            }
        ),
    }


def _by_activity(trained: Trained, gain: PerUser) -> list[dict[str, Any]]:
    activity = np.array([len(resolve_user(trained.factors, user_id, NO_ROWS).seen) for user_id in trained.users.ids])
    groups = np.array_split(np.argsort(activity, kind="stable"), min(ACTIVITY_GROUPS, len(gain)))
    return [
        {
            "interactions": [int(activity[group].min()), int(activity[group].max())],
            "users": len(group),
            "ndcg@10": bootstrap(gain[group]).document(),
        }
        for group in groups
    ]
