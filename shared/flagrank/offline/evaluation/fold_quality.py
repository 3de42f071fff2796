"""Both stages' quality on a fold of the training data that Stage 2 was not fitted to."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flagrank.model.stage2 import Stage2
from flagrank.offline.metrics.held_out_users import HeldOutUsers
from flagrank.offline.training.examples import Examples, joined
from flagrank.offline.training.progress import Progress
from flagrank.offline.training.two_stage import TrainingPlan, fit


def fold_quality(
    folds: Sequence[Examples], names: tuple[str, ...], plan: TrainingPlan, progress: Progress
) -> dict[str, Any]:
    """Both stages' Recall and NDCG on the first fold, Stage 2 fitted to the others with the features `names`.

    A single fold is measured on every other user, and fitted to the rest. Each fold's Stage 1 was trained on the fold's
    rest. Random folds may hold the same item out for a user: Stage 2 sees features, and neither users nor items. The
    first has the most users: some run out of interactions to hold out. {} where there is nothing to learn from.
    """
    if len(folds) == 1:
        users = np.arange(len(folds[0].sizes))
        first, others = folds[0].of_users(users % 2 == 0), [folds[0].of_users(users % 2 == 1)]
    elif folds:
        first, others = folds[0], list(folds[1:])
    else:
        return {}
    if not any(part.labels.any() for part in others) or not first.labels.any():
        return {}
    return _measured(first, fit(joined(others).columns(names), plan, progress))


def _measured(fold: Examples, learned: Stage2) -> dict[str, Any]:
    ends = np.cumsum(fold.sizes)[:-1]
    scores = np.split(learned.score(fold.columns(learned.features).table), ends)
    stage1, stage2, relevant = list[list[int]](), list[list[int]](), list[set[int | str]]()
    for own, chosen, history, held_out in zip(
        scores, np.split(fold.labels, ends), fold.histories, fold.held_out, strict=True
    ):
        as_retrieved = np.arange(len(own))
        is_known = history >= learned.document.min_history
        stage1.append(as_retrieved.tolist())
        stage2.append((np.argsort(-own, kind="stable") if is_known else as_retrieved).tolist())
        # held-out items that are not among the candidates count as missed
        hits = np.flatnonzero(chosen).tolist()
        relevant.append({*hits, *range(-1, len(hits) - int(held_out) - 1, -1)})
    users = HeldOutUsers(list(range(len(relevant))), relevant)
    stages = {"stage1": users.quality(stage1), "stage2": users.quality(stage2)}
    means = {stage: {name: round(float(each.mean()), 6) for name, each in of.items()} for stage, of in stages.items()}
    return {"users": len(relevant), **means}
