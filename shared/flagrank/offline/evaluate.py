"""Offline quality, measured on the lists that serving would give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flagrank.errors import DataError
from flagrank.factors import Factors
from flagrank.offline.interactions import Dataset, Interactions
from flagrank.offline.metrics import ndcg_at_k, recall_at_k
from flagrank.offline.split import HELD_OUT_PER_USER, held_out_last
from flagrank.offline.train import AlsParameters, Progress, train
from flagrank.retrieval import NO_ROWS, User, resolve_user, retrieve

CUTOFFS = (5, 10, 100)

type Ranker = Callable[[Factors, User], list[int | str]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Mean metrics over `users` test users, by name (`recall@5`, `ndcg@5`, ...), for Stage 1 and popularity."""

    dataset: str
    users: int
    parameters: AlsParameters
    stage1: dict[str, float]
    popularity: dict[str, float]

    def document(self) -> dict[str, Any]:
        """The JSON report."""
        return {
            "dataset": self.dataset,
            "users": self.users,
            "parameters": self.parameters.recorded(),
            "stage1": self.stage1,
            "popularity": self.popularity,
        }


def evaluate(dataset: Dataset, parameters: AlsParameters, progress: Progress | None = None) -> Evaluation:
    """Trains on the base, ranks for every user with held-out items, seen items masked; nothing is tuned here.

    A dataset that does not split itself has each user's last interactions held out; raises DataError if nobody has
    enough of them.
    """
    if dataset.held_out is None:
        dataset = held_out_last(dataset)
    held_out = dataset.held_out
    if held_out is None or not len(held_out):
        raise DataError(dataset.name, None, f"nothing to hold out: no user has {2 * HELD_OUT_PER_USER} interactions")
    factors = train(dataset, parameters, progress)
    relevant = held_out_by_user(held_out)
    users = [resolve_user(factors, user_id, NO_ROWS) for user_id in relevant]
    return Evaluation(
        dataset=dataset.name,
        users=len(users),
        parameters=parameters,
        stage1=means(_ranked(factors, users, _stage1), list(relevant.values())),
        popularity=means(_ranked(factors, users, _popularity), list(relevant.values())),
    )


def held_out_by_user(held_out: Interactions) -> dict[int | str, set[int | str]]:
    """Each test user's held-out items; those that training never met count as missed."""
    relevant: dict[int | str, set[int | str]] = {}
    for user_id, item_id in zip(held_out.users.tolist(), held_out.items.tolist(), strict=True):
        relevant.setdefault(user_id, set()).add(item_id)
    return relevant


def means(ranked: Sequence[list[int | str]], relevant: Sequence[set[int | str]]) -> dict[str, float]:
    """Recall and NDCG at each cut-off, averaged over users, to six digits."""
    values = {}
    for k in CUTOFFS:
        values[f"recall@{k}"] = round(float(np.mean(recall_at_k(ranked, relevant, k))), 6)
        values[f"ndcg@{k}"] = round(float(np.mean(ndcg_at_k(ranked, relevant, k))), 6)
    return values


def _ranked(factors: Factors, users: Sequence[User], ranker: Ranker) -> list[list[int | str]]:
    return [ranker(factors, user) for user in users]


def _stage1(factors: Factors, user: User) -> list[int | str]:
    return [candidate.item_id for candidate in retrieve(factors, user, max(CUTOFFS), NO_ROWS)]


def _popularity(factors: Factors, user: User) -> list[int | str]:
    return _stage1(factors, User(user.kind, None, user.seen))
