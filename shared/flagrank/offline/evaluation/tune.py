"""The search for Stage 1's parameters, on folds cut from the training interactions alone."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from flagrank.errors import DataError
from flagrank.offline.data.interactions import Dataset, Interactions
from flagrank.offline.data.split import HELD_OUT_PER_USER, folds
from flagrank.offline.evaluation import replay
from flagrank.offline.metrics.held_out_users import HeldOutUsers
from flagrank.offline.metrics.ranking import ndcg_at_k
from flagrank.offline.training.als import AlsParameters, train
from flagrank.offline.training.two_stage import Progress

CUTOFF = 10
FOLDS = 2
SEEDS = (1, 2, 3, 4, 5)

# drawn log-uniformly, but for the counts that are drawn from a list
SPACE = {
    "factors": (32, 48, 64, 96, 128),
    "regularization": (0.1, 100.0),
    "alpha": (0.25, 16.0),
    "rating_weight": (0.0, 0.1, 0.25, 0.5, 1.0),
    "iterations": (10, 15, 20, 30),
}
CONTINUOUS = frozenset({"regularization", "alpha"})


@dataclass(frozen=True, slots=True)
class Trial:
    """Parameters and the mean NDCG@10 that they reached on the folds."""

    parameters: AlsParameters
    ndcg: float


@dataclass(frozen=True, slots=True)
class Found:
    """A finished search: its trials, the best parameters, and what other seeds make of those."""

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
        """How far apart the best parameters' NDCG@10 lies from seed to seed."""
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
            "trials": [{**asdict(trial.parameters), "ndcg": round(trial.ndcg, 6)} for trial in self.trials],
            "best": asdict(self.best.parameters),
            "seed_spread": round(self.seed_spread, 6),
        }


def search(dataset: Dataset, start: AlsParameters, trials: int, study: Path, progress: Progress) -> Found:
    """Random search (Bergstra and Bengio 2012), narrowing to the neighbourhood of the best in its second half.

    `start` is the first trial. Each trial is written to `study` as it ends, and is not repeated by a later call with
    the same data and start: it may be killed at any moment. Raises DataError where the file is anything else (and
    leaves it as it is) or cannot be kept, and where nobody has enough interactions to hold some out.
    """
    # users of few interactions run out of them: a later fold may hold nothing out
    cuts = [fold for fold in folds(dataset, FOLDS, start.seed) if fold.held_out is not None and len(fold.held_out)]
    if not cuts:
        needed = f"a user with {2 * HELD_OUT_PER_USER} interactions, to hold {HELD_OUT_PER_USER} of them out"
        raise DataError(dataset.name, None, f"nothing to search on: expected {needed}")
    done = _Study(study, dataset, start)
    for number in range(trials):
        progress("searching", number, trials)
        parameters = _proposed(number, trials, start, done.trials[:number])
        if number >= len(done.trials):
            done.add(Trial(parameters, _ndcg(cuts, parameters)))
    progress("searching", trials, trials)
    best = max(done.trials[:trials], key=lambda trial: trial.ndcg).parameters
    seeds = []
    for number, seed in enumerate(SEEDS, 1):
        seeds.append(_ndcg(cuts, replace(best, seed=seed)))
        progress("trying other seeds", number, len(SEEDS))
    return Found(dataset.name, len(cuts), tuple(done.trials[:trials]), tuple(seeds))


def fingerprint(interactions: Interactions) -> str:
    """The SHA-256 of every interaction, in hexadecimal."""
    digest = hashlib.sha256()
    for column in (interactions.users, interactions.items, interactions.values, interactions.timestamps):
        digest.update(f"{column.dtype.str} {len(column)} ".encode())
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


class _Study:
    """The trials in a file of JSON lines, the first of which says whose they are. Lines are only ever added."""

    def __init__(self, path: Path, dataset: Dataset, start: AlsParameters) -> None:
        self._path = path
        whose = {
            "interactions": fingerprint(dataset.interactions),
            "random_split": dataset.random_split,
            "start": asdict(start),
        }
        first = json.dumps(whose).encode() + b"\n"
        try:
            kept = self._whole_lines(first)
        except OSError as error:
            raise self._unusable(error) from error
        self.trials = [self._trial(number, line) for number, line in enumerate(kept[1:], 2)]
        if not kept:
            self._append(first)

    def add(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._append(json.dumps({"parameters": asdict(trial.parameters), "ndcg": trial.ndcg}).encode() + b"\n")

    def _whole_lines(self, first: bytes) -> list[bytes]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            file.seek(0)
            data = file.read()
            # before anything is cut off: somebody else's file stays as it is
            if data[: len(first)] != first[: len(data)]:
                raise DataError(self._path.name, 1, "is no study of these data and this start; give another --study")
            # a line that was cut off when the search was killed is a trial that was not finished
            whole = data[: data.rfind(b"\n") + 1]
            file.truncate(len(whole))
        return whole.splitlines()

    def _trial(self, number: int, line: bytes) -> Trial:
        try:
            return TypeAdapter(Trial).validate_json(line)
        except ValidationError as error:
            raise DataError(self._path.name, number, f"expected a trial: {error.errors()[0]['msg']}") from error

    def _append(self, line: bytes) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> DataError:
        return DataError(str(self._path), None, f"cannot keep the search's trials: {error.strerror}")


def _proposed(number: int, trials: int, start: AlsParameters, before: list[Trial]) -> AlsParameters:
    if number == 0:
        return start
    # its own dice for each trial: a resumed search proposes what an uninterrupted one would have
    rng = np.random.default_rng((start.seed, number))
    if number < trials // 2:
        return replace(start, **{name: _drawn(name, rng) for name in SPACE})
    best = max(before, key=lambda trial: trial.ndcg).parameters
    moved = rng.choice(list(SPACE), 2, replace=False).tolist()
    return replace(best, **{name: _near(name, getattr(best, name), rng) for name in moved})


def _drawn(name: str, rng: np.random.Generator) -> Any:
    if name in CONTINUOUS:
        low, high = SPACE[name]
        return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")
    return rng.choice(SPACE[name]).item()


def _near(name: str, value: Any, rng: np.random.Generator) -> Any:
    if name in CONTINUOUS:
        return float(f"{value * np.exp(rng.normal(0, 0.3)):.3g}")
    choices = SPACE[name]
    place = min(range(len(choices)), key=lambda at: abs(choices[at] - value))
    return choices[int(np.clip(place + rng.choice((-1, 1)), 0, len(choices) - 1))]


def _ndcg(cuts: list[Dataset], parameters: AlsParameters) -> float:
    means = []
    for fold in cuts:
        assert fold.held_out is not None
        users = HeldOutUsers.of(fold.held_out)
        recommender = replay.baseline(train(fold, parameters))
        lists = replay.item_ids(replay.answers(recommender, users.ids, CUTOFF))
        means.append(float(ndcg_at_k(lists, users.relevant, CUTOFF).mean()))
    return float(np.mean(means))
