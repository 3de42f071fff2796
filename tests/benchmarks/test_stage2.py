"""Stage 2's serving cost, beside LightGBM's own predict on the same trees."""

import statistics
import time
from collections.abc import Callable

import numpy as np

from flagrank.candidates.als import top_k
from flagrank.candidates.user import resolve_user
from flagrank.model.arrays import NO_ROWS
from flagrank.model.factors import Factors
from flagrank.model.features import feature_table
from flagrank.model.stage2 import Stage2, Stage2Document, TreeEnsemble
from flagrank.offline.data.sources import read_dataset
from flagrank.offline.training.boosting import BoostingParameters, boost, exported
from flagrank.offline.training.examples import joined
from flagrank.offline.training.linear import fit_linear
from flagrank.offline.training.two_stage import TrainingPlan, first_stage, fold_examples
from tests.offline.ml100k import FOLDER, needs_ml100k

CANDIDATES = 200
ROUNDS = 400
LIMIT_MS = 3.0


def median_ms(steps: dict[str, Callable[[int], object]]) -> dict[str, float]:
    """Each step's median over users, interleaved, so that all meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(ROUNDS):
        for name, step in steps.items():
            started = time.perf_counter()
            step(number)
            times[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


@needs_ml100k
def test_scoring_200_candidates() -> None:
    """Features and blend in under 3 ms at the median, and the trees no slower than LightGBM's own predict."""
    plan = TrainingPlan(folds=1)
    dataset = read_dataset(str(FOLDER))
    factors: Factors = first_stage(dataset, plan, None, lambda *_: None)
    names = plan.features(dataset, embedded=False)
    found = joined(fold_examples(dataset, plan, None, lambda *_: None)).columns(names)
    booster = boost(found, BoostingParameters(), seed=1)
    trees = exported(booster)
    stage2 = Stage2(Stage2Document(features=names, pool=CANDIDATES, linear=fit_linear(found), trees=trees))
    ensemble = TreeEnsemble(trees)
    asked = []
    for user_id in factors.user_ids[:ROUNDS].tolist():
        user = resolve_user(factors, user_id, NO_ROWS)
        assert user.vector is not None
        rows, scores = top_k(factors, user.vector, CANDIDATES, user.seen)
        asked.append((user.seen, rows, scores, feature_table(factors, user.seen, rows, scores, names)))
    medians = median_ms(
        {
            "features": lambda number: feature_table(factors, *asked[number][:3], names),
            "blend": lambda number: stage2.score(asked[number][3]),
            "both": lambda number: stage2.score(feature_table(factors, *asked[number][:3], names)),
            "trees": lambda number: ensemble.score(asked[number][3]),
            "LightGBM, 1 thread": lambda number: booster.predict(asked[number][3], num_threads=1),
            "LightGBM": lambda number: booster.predict(asked[number][3]),
        }
    )
    print({name: f"{value:.2f} ms" for name, value in medians.items()})
    table = asked[0][3]
    assert np.allclose(ensemble.score(table), booster.predict(table), atol=1e-12)
    assert medians["both"] < LIMIT_MS
    assert medians["trees"] < 2 * medians["LightGBM, 1 thread"]
