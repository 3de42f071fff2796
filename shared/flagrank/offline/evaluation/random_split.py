"""The protocol by which recommenders-team compares models: a random quarter of all ratings is held out."""

from dataclasses import replace
from typing import Any

import numpy as np

from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.split import split_at_random
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.stage_report import prepare
from flagrank.offline.training.als import Embeddings
from flagrank.offline.training.progress import Progress
from flagrank.offline.training.two_stage import TrainingPlan

SEEDS = (1, 2, 3)
HELD_OUT_SHARE = 0.25
CUTOFF = 10


def random_split(
    dataset: Dataset, plan: TrainingPlan, embeddings: Embeddings | None, progress: Progress
) -> dict[str, Any]:
    """Both stages' mean NDCG@10 and Recall@10 by seed of the split, and their mean over the SEEDS.

    As in `benchmarks/movielens.ipynb` of github.com/recommenders-team/recommenders: trained on three quarters of all
    ratings, the dataset's own test among them, and asked for every user of the rest. Their `ndcg_at_k` is binary over
    natural logarithms, whose base cancels out, so it is the NDCG of every other report here.
    """
    whole = dataset.interactions if dataset.held_out is None else dataset.interactions.joined(dataset.held_out)
    by_seed = []
    for seed in SEEDS:
        split = split_at_random(replace(dataset, interactions=whole), HELD_OUT_SHARE, seed)
        trained = prepare(split, plan, embeddings, progress)
        lists = {"stage1": trained.stage1, "stage2": trained.stage2}
        quality = {name: trained.users.quality(replay.item_ids(served), (CUTOFF,)) for name, served in lists.items()}
        by_seed.append(
            {stage: {metric: float(each.mean()) for metric, each in of.items()} for stage, of in quality.items()}
        )
    means = {
        stage: {metric: round(float(np.mean([found[stage][metric] for found in by_seed])), 6) for metric in metrics}
        for stage, metrics in by_seed[0].items()
    }
    return {"held_out": HELD_OUT_SHARE, "seeds": len(SEEDS), **means, "by_seed": by_seed}
