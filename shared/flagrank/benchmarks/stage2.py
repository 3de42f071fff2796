"""Stage 2's scores beside LightGBM's own predict on the same trees."""

from collections.abc import Iterator
from dataclasses import replace

from flagrank.benchmarks.large_shop import large_shop
from flagrank.benchmarks.peers import absent, peer
from flagrank.benchmarks.results import OURS, Row, compared
from flagrank.benchmarks.timing import Step, interleaved
from flagrank.candidates.als import top_k
from flagrank.candidates.user import resolve_user
from flagrank.model.arrays import NO_ROWS
from flagrank.model.features import feature_table
from flagrank.model.stage2 import Stage2, Stage2Document, TreeEnsemble
from flagrank.offline.data import synthetic
from flagrank.offline.data.interactions import Dataset

CANDIDATES, ROUNDS, USERS = 200, 300, 100
# users, items, interactions
TINY = (60, 1_500, 2_400)
PEER, PEER_THREADS = "LightGBM, 1 thread", "LightGBM"


def measure(tiny: bool) -> Iterator[Row]:
    """On the synthetic shop: features and blend, then the trees alone."""
    if peer("lightgbm") is None or peer("implicit") is None:
        yield Row(case=f"{CANDIDATES} candidates", contestant=PEER, missing=absent("lightgbm"))
        return
    dataset = large_shop(*TINY) if tiny else synthetic.generate()
    yield from beside_lightgbm(dataset, 5 if tiny else 150, 5 if tiny else ROUNDS)


def beside_lightgbm(dataset: Dataset, trees: int, rounds: int) -> Iterator[Row]:
    """Trains both stages on one fold, then scores the candidates of several users.

    Raises AssertionError if the trees do not give LightGBM's own scores.
    """
    import numpy as np

    from flagrank.offline.training.boosting import BoostingParameters, boost, exported
    from flagrank.offline.training.examples import joined
    from flagrank.offline.training.linear import fit_linear
    from flagrank.offline.training.two_stage import TrainingPlan, first_stage, fold_examples

    plan = replace(TrainingPlan(), folds=1)
    factors = first_stage(dataset, plan, None, lambda *_: None)
    names = plan.features(dataset, embedded=False)
    found = joined(fold_examples(dataset, plan, None, lambda *_: None)).columns(names)
    booster = boost(found, BoostingParameters(rounds=trees), seed=1)
    grown = exported(booster)
    stage2 = Stage2(Stage2Document(features=names, pool=CANDIDATES, linear=fit_linear(found), trees=grown))
    ensemble = TreeEnsemble(grown)
    people = [resolve_user(factors, user_id, NO_ROWS) for user_id in factors.user_ids[:USERS].tolist()]
    lists = [top_k(factors, user.vector, CANDIDATES, user.seen) for user in people if user.vector is not None]
    asked = [(person.seen, *rows) for person, rows in zip(people, lists, strict=True)]
    tables = [feature_table(factors, *each, names) for each in asked]

    def at(number: int) -> int:
        return number % len(asked)

    whole: dict[str, Step] = {
        OURS: lambda n: stage2.score(feature_table(factors, *asked[at(n)], names)),
        "features": lambda n: feature_table(factors, *asked[at(n)], names),
        "blend": lambda n: stage2.score(tables[at(n)]),
    }
    yield from compared(f"{CANDIDATES} candidates, features and blend", interleaved(whole, rounds))
    alone: dict[str, Step] = {
        OURS: lambda n: ensemble.score(tables[at(n)]),
        PEER: lambda n: booster.predict(tables[at(n)], num_threads=1),
        PEER_THREADS: lambda n: booster.predict(tables[at(n)]),
    }
    yield from compared(f"{CANDIDATES} candidates, {trees} trees alone", interleaved(alone, rounds))
    assert np.allclose(ensemble.score(tables[0]), booster.predict(tables[0]), atol=1e-12)
