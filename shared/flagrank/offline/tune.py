"""The search for Stage 1's parameters, on folds cut from the training interactions alone."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flagrank.errors import DataError
from flagrank.offline import replay
from flagrank.offline.held_out_users import HeldOutUsers
from flagrank.offline.interactions import Dataset
from flagrank.offline.metrics import ndcg_at_k
from flagrank.offline.split import folds
from flagrank.offline.train import AlsParameters, train
from flagrank.offline.two_stage import Progress

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
    trials: tuple[Trial, ...]
    seed_ndcg: tuple[float, ...]

    @property
    def best(self) -> AlsParameters:
        """The parameters of the best trial."""
        return max(self.trials, key=lambda trial: trial.ndcg).parameters

    def document(self) -> dict[str, Any]:
        """The search as the manifest keeps it."""
        return {
            "metric": f"ndcg@{CUTOFF} on {FOLDS} folds of the training interactions",
            "trials": [{**asdict(trial.parameters), "ndcg": round(trial.ndcg, 6)} for trial in self.trials],
            "best": asdict(self.best),
            "seed_spread": round(float(np.ptp(self.seed_ndcg)), 6),
        }


def search(dataset: Dataset, start: AlsParameters, trials: int, study: Path, progress: Progress) -> Found:
    """Random search (Bergstra and Bengio 2012), narrowing to the neighbourhood of the best in its second half.

    `start` is the first trial. Each trial is written to `study` as it ends, and is not repeated by a later call with
    the same data and start: raises DataError where the file holds another search's trials.
    """
    cuts = list(folds(dataset, FOLDS, start.seed))
    done = _Study(study, dataset.name, start)
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
    return Found(dataset.name, tuple(done.trials[:trials]), tuple(seeds))


class _Study:
    """The trials in a file of JSON lines, the first of which says whose they are."""

    def __init__(self, path: Path, dataset: str, start: AlsParameters) -> None:
        self._path = path
        whose = {"dataset": dataset, "start": asdict(start)}
        self.trials: list[Trial] = []
        if not path.exists():
            self._append(whose)
            return
        # a line that was cut off when the search was killed is a trial that was not finished
        lines = list(_whole_lines(path))
        if not lines or lines[0] != whose:
            raise DataError(path.name, 1, "holds the trials of another search; give another --study")
        self.trials = [Trial(AlsParameters(**line["parameters"]), line["ndcg"]) for line in lines[1:]]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    def add(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._append({"parameters": asdict(trial.parameters), "ndcg": trial.ndcg})

    def _append(self, line: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    for text in path.read_text("utf-8").splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            return


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
