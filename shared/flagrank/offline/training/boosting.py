"""Gradient-boosted trees by LightGBM, fitted to whole lists, exported as Stage 2's trees.

The loss is XE-NDCG (Bruch 2021, "An Alternative Cross Entropy Loss for Learning-to-Rank"), a convex bound of NDCG: a
round costs a sort of each list, where LambdaMART compares pairs (infra/decisions/0031).
"""

from dataclasses import asdict, dataclass
from typing import Any

import lightgbm

from flagrank.model.stage2 import ALL_LEAVES, MAX_LEAVES, Tree
from flagrank.offline.training.examples import Examples
from flagrank.offline.training.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class BoostingParameters:
    """LightGBM's parameters, in its own words."""

    num_leaves: int = MAX_LEAVES
    min_data_in_leaf: int = 1000
    learning_rate: float = 0.05
    rounds: int = 150


def boost(
    examples: Examples, parameters: BoostingParameters, seed: int, progress: Progress = silent
) -> lightgbm.Booster:
    """The fitted booster, the same for the same examples and seed."""
    settings: dict[str, Any] = asdict(parameters)
    rounds = settings.pop("rounds")
    settings |= {
        "objective": "rank_xendcg",
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    return lightgbm.train(
        settings,
        lightgbm.Dataset(examples.table, examples.labels, group=examples.sizes),
        rounds,
        callbacks=[lambda state: progress("growing trees", state.iteration + 1, rounds)],
    )


def exported(booster: lightgbm.Booster) -> tuple[Tree, ...]:
    """The booster's trees as Stage 2 scores them."""
    return tuple(_exported(info["tree_structure"]) for info in booster.dump_model()["tree_info"])


def _exported(root: dict[str, Any]) -> Tree:
    features: list[int] = []
    thresholds: list[float] = []
    kept: list[int] = []
    leaves: list[float] = []

    def visit(node: dict[str, Any]) -> None:
        if "leaf_value" in node:
            leaves.append(node["leaf_value"])
            return
        features.append(node["split_feature"])
        thresholds.append(node["threshold"])
        place, first = len(kept), len(leaves)
        kept.append(ALL_LEAVES)
        visit(node["left_child"])
        # when the node fails, the leaves on its left are out of reach
        kept[place] = ALL_LEAVES & ~((1 << len(leaves)) - (1 << first))
        visit(node["right_child"])

    visit(root)
    return Tree(feature=tuple(features), threshold=tuple(thresholds), kept=tuple(kept), leaves=tuple(leaves))
