"""The search for Stage 1's parameters, on folds cut from the training interactions alone."""

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from pydantic import TypeAdapter, ValidationError

from flagrank.errors import DataError
from flagrank.offline.data.interactions import Dataset, Interactions
from flagrank.offline.data.split import HELD_OUT_PER_USER, folds
from flagrank.offline.evaluation import replay
from flagrank.offline.evaluation.study_file import open_study
from flagrank.offline.metrics.held_out_users import HeldOutUsers
from flagrank.offline.metrics.ranking import ndcg_at_k
from flagrank.offline.training.als import AlsParameters, train
from flagrank.offline.training.progress import Progress

CUTOFF = 10
FOLDS = 2
SEEDS = (1, 2, 3, 4, 5)

SPACE: dict[str, IntDistribution | FloatDistribution] = {
    "factors": IntDistribution(32, 128, step=16),
    "regularization": FloatDistribution(0.1, 100.0, log=True),
    "alpha": FloatDistribution(0.25, 16.0, log=True),
    "rating_weight": FloatDistribution(0.0, 1.0, step=0.05),
    "iterations": IntDistribution(10, 30, step=5),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """Parameters and the mean NDCG@10 that they reached on the folds."""

    parameters: AlsParameters
    ndcg: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A finished search: its trials, and the NDCG@10 of the best parameters with other seeds."""

    dataset: str
    folds: int
    trials: tuple[Trial, ...]
    seed_ndcg: tuple[float, ...]

    @property
    def best(self) -> Trial:
        """The best trial, the first of several."""
        return max(self.trials, key=lambda trial: trial.ndcg)

    @property
    def seed_spread(self) -> float:
        """The range of the best parameters' NDCG@10 over seeds."""
        return float(np.ptp(self.seed_ndcg))

    def metrics(self) -> dict[str, Any]:
        """What the best trial reached, for the manifest."""
        return {
            "folds": self.folds,
            f"ndcg@{CUTOFF}": round(self.best.ndcg, 6),
            "seed_spread": round(self.seed_spread, 6),
        }

    def document(self) -> dict[str, Any]:
        """The search as the manifest keeps it."""
        return {
            "metric": f"ndcg@{CUTOFF} on {self.folds} folds of the training interactions",
            "trials": [{**trial.parameters.recorded(), "ndcg": round(trial.ndcg, 6)} for trial in self.trials],
            "best": self.best.parameters.recorded(),
            "seed_spread": round(self.seed_spread, 6),
        }


def search(dataset: Dataset, start: AlsParameters, trials: int, study: Path, progress: Progress) -> SearchResult:
    """The best of `trials` parameters: `start`, a few random ones, then those that TPE proposes from the trials before.

    TPE: Bergstra, Bardenet, Bengio, Kegl 2011, "Algorithms for Hyper-Parameter Optimization", by Optuna. Each trial is
    written to the file `study` when it ends. A later call with the same data and start does not repeat it, so that a
    search may be killed at any moment and gives the same result when it is resumed. Raises DataError if the file is
    anything else (and leaves it unchanged) or cannot be written, or if no user has enough interactions to hold out.
    """
    # users with few interactions have none left for a later fold, which may then hold nothing out
    cuts = [fold for fold in folds(dataset, FOLDS, start.seed) if fold.held_out is not None and len(fold.held_out)]
    if not cuts:
        needed = f"a user with {2 * HELD_OUT_PER_USER} interactions, to hold {HELD_OUT_PER_USER} of them out"
        raise DataError(dataset.name, None, f"nothing to search on: expected {needed}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with open_study(study, _identity(dataset, start)) as kept:
        done = [_trial(study, start, trial) for trial in kept.get_trials()]
        for number in range(trials):
            progress("searching", number, trials)
            if number >= len(done):
                parameters = _proposed(start, done)
                done.append(Trial(parameters, _ndcg(cuts, parameters)))
                kept.add_trial(_recorded(done[-1]))
    progress("searching", trials, trials)
    best = max(done[:trials], key=lambda trial: trial.ndcg).parameters
    seeds = []
    for number, seed in enumerate(SEEDS, 1):
        seeds.append(_ndcg(cuts, replace(best, seed=seed)))
        progress("trying other seeds", number, len(SEEDS))
    return SearchResult(dataset.name, len(cuts), tuple(done[:trials]), tuple(seeds))


def fingerprint(interactions: Interactions) -> str:
    """The SHA-256 of every interaction, in hexadecimal."""
    digest = hashlib.sha256()
    for column in (interactions.users, interactions.items, interactions.values, interactions.timestamps):
        digest.update(f"{column.dtype.str} {len(column)} ".encode())
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def _identity(dataset: Dataset, start: AlsParameters) -> dict[str, Any]:
    return {
        "interactions": fingerprint(dataset.interactions),
        "random_split": dataset.random_split,
        "start": start.recorded(),
    }


def _proposed(start: AlsParameters, before: list[Trial]) -> AlsParameters:
    if not before:
        return start
    # a seed for each trial: a resumed search proposes what an uninterrupted one would have proposed
    seed = int(np.random.default_rng((start.seed, len(before))).integers(2**32))
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.add_trials([_recorded(trial) for trial in before])
    proposal: dict[str, Any] = study.ask(dict(SPACE)).params
    return AlsParameters.of(start.recorded() | {name: _rounded(value) for name, value in proposal.items()})


def _recorded(trial: Trial) -> optuna.trial.FrozenTrial:
    # a start's value outside of the space is not recorded: it is known from the start
    recorded = trial.parameters.recorded()
    allowed = {name: values for name, values in SPACE.items() if _allows(values, recorded[name])}
    inside = {name: recorded[name] for name in allowed}
    return optuna.trial.create_trial(params=inside, distributions=dict(allowed), value=trial.ndcg)


def _trial(study: Path, start: AlsParameters, recorded: optuna.trial.FrozenTrial) -> Trial:
    try:
        parameters = AlsParameters.of(start.recorded() | recorded.params)
        return Trial(parameters, TypeAdapter(float).validate_python(recorded.value))
    except ValidationError as error:
        # line 1 is the study's
        raise DataError(study.name, recorded.number + 2, f"expected a trial: {error.errors()[0]['msg']}") from error


def _allows(allowed: IntDistribution | FloatDistribution, value: float) -> bool:
    steps = (value - allowed.low) / allowed.step if allowed.step else 0
    return allowed.low <= value <= allowed.high and math.isclose(steps, round(steps), abs_tol=1e-6)


def _rounded(value: Any) -> Any:
    # three digits, as people write them
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _ndcg(cuts: list[Dataset], parameters: AlsParameters) -> float:
    means = []
    for fold in cuts:
        assert fold.held_out is not None
        users = HeldOutUsers.of(fold.held_out)
        recommender = replay.baseline(train(fold, parameters))
        lists = replay.item_ids(replay.answers(recommender, users.ids, CUTOFF))
        means.append(float(ndcg_at_k(lists, users.relevant, CUTOFF).mean()))
    return float(np.mean(means))
