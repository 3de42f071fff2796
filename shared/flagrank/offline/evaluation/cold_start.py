"""Quality for new users, by their first interactions, and for new items, by their texts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.candidates.als import top_k
from flagrank.candidates.user import resolve_user
from flagrank.domain import ItemId, RecommendRequest, UserId
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors
from flagrank.offline.data.interactions import Dataset, Item
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.stage_report import Trained
from flagrank.offline.metrics.held_out_users import HeldOutUsers
from flagrank.offline.metrics.ranking import bootstrap, ndcg_at_k, recall_at_k
from flagrank.offline.training.als import AlsParameters, Embeddings, train
from flagrank.offline.training.progress import Progress
from flagrank.offline.training.two_stage import train_two_stages

KNOWN = (1, 3, 5, 10)
CUTOFF = 10
HELD_OUT_SHARE = 0.2
SPLITS = 5
# fewer than training takes: the rows are compared with each other only
FOLDS = 3


def fold_in_curve(trained: Trained, progress: Progress, seed: int = 0) -> dict[str, Any]:
    """NDCG@10 of users without a row in training, by how many of their first interactions a request carries.

    A fifth of the test users is left out of the training of both stages. The user's other interactions are excluded
    from each list, so that every row ranks the same items except the known ones.
    """
    dataset, rng = trained.dataset, np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(trained.users.ids), max(1, int(len(trained.users.ids) * HELD_OUT_SHARE)), False))
    new_users: list[UserId] = [trained.users.ids[place] for place in chosen]
    users = HeldOutUsers(new_users, [trained.users.relevant[place] for place in chosen])
    known_to_training = ~np.isin(dataset.interactions.users, new_users)
    if not known_to_training.any():
        return {}
    others = replace(dataset, interactions=dataset.interactions.select(known_to_training))
    plan = replace(trained.plan, folds=min(FOLDS, trained.plan.folds))
    factors = train_two_stages(others, plan, trained.embeddings, progress).factors
    histories = _histories(dataset, new_users)
    stages = {"stage1": replace(factors, stage2=None)} | ({"stage2": factors} if factors.stage2 else {})

    def ndcg(stage: Factors, known: int | None) -> dict[str, Any]:
        return bootstrap(_ndcg(stage, users, histories, known)).document()

    by_stage = {
        name: {str(known or "all"): ndcg(stage, known) for known in (*KNOWN, None)} for name, stage in stages.items()
    }
    return {"users": len(new_users), "ndcg@10": {"popularity": ndcg(factors, 0), **by_stage}}


def _histories(dataset: Dataset, users: Sequence[UserId]) -> list[list[ItemId]]:
    interactions = dataset.interactions.latest()
    return [interactions.items[interactions.users == user_id].tolist() for user_id in users]


def _ndcg(
    factors: Factors, users: HeldOutUsers, histories: Sequence[list[ItemId]], known: int | None
) -> npt.NDArray[np.float64]:
    recommender = replay.baseline(factors)
    lists = []
    for user_id, history in zip(users.ids, histories, strict=True):
        first, rest = (history, []) if known is None else (history[:known], history[known:])
        query = RecommendRequest(user_id, CUTOFF, history=tuple(first), exclude=tuple(rest))
        lists.append([entry.candidate.item_id for entry in recommender.recommend(query).items])
    return ndcg_at_k(lists, users.relevant, CUTOFF)


def new_item_recall(
    dataset: Dataset, parameters: AlsParameters, embeddings: Embeddings | None = None, splits: int = SPLITS
) -> dict[str, Any]:
    """Recall@10 among a fifth of the items, hidden from training, averaged over splits, by what is known of them.

    `random` is a random order. `category` uses the categories alone, `text` also the words, `embeddings` also the
    embeddings. A user's relevant items are the user's items among the hidden ones.
    """
    blank = replace(dataset, items={key: Item("", item.category, "") for key, item in dataset.items.items()})
    sources: dict[str, tuple[Dataset, Embeddings | None]] = {"category": (blank, None), "text": (dataset, None)}
    if embeddings is not None:
        sources["embeddings"] = (dataset, embeddings)
    found: dict[str, list[float]] = {"random": []}
    for split in range(splits):
        rng = np.random.default_rng(split)
        item_ids = np.unique(dataset.interactions.items)
        hidden = rng.choice(item_ids, int(len(item_ids) * HELD_OUT_SHARE), replace=False)
        is_hidden = np.isin(dataset.interactions.items, hidden)
        users = HeldOutUsers.of(dataset.interactions.select(is_hidden))
        found["random"].append(min(CUTOFF, len(hidden)) / len(hidden))
        for name, (source, vectors) in sources.items():
            seen = replace(source, interactions=dataset.interactions.select(~is_hidden))
            factors = train(seen, parameters, embeddings=vectors)
            recall = recall_at_k([_new_items(factors, user_id) for user_id in users.ids], users.relevant, CUTOFF)
            found.setdefault(name, []).append(float(recall.mean()))
    return {"splits": splits, "recall@10": {name: round(float(np.mean(values)), 6) for name, values in found.items()}}


def _new_items(factors: Factors, user_id: UserId) -> list[ItemId]:
    user = resolve_user(factors, user_id, NO_ROWS)
    if user.vector is None:
        return []
    rows, _ = top_k(factors, user.vector, CUTOFF, user.seen, eligible=factors.popularity == 0)
    return [factors.item_id(row) for row in rows.tolist()]
