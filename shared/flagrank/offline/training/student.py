"""Fitting the student: trees to what an LLM judged, then weights of word pairs to what the trees leave over.

Both are regressions on the relevance itself, since the student's relevance stands beside the LLM's in one list.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsmr

from flagrank.model.factors import Factors
from flagrank.model.stage2 import MAX_LEAVES, Table, Vector
from flagrank.model.student import Student, StudentDocument, pair_buckets, pair_scale
from flagrank.model.student_features import FEATURES, PairInput, student_input
from flagrank.offline.data.judgements import JudgedIntent
from flagrank.offline.training.boosting import exported
from flagrank.offline.training.progress import Progress, silent

STEP = "fitting the student"


@dataclass(frozen=True, slots=True)
class StudentParameters:
    """What is tried: trees up to `rounds`, and each of the `penalties` (L2) of the pairs' weights.

    Trees in LightGBM's words. Pairs are left out where they lower the error under no penalty. `iterations` bounds LSMR.
    """

    rounds: int = 100
    learning_rate: float = 0.1
    min_data_in_leaf: int = 50
    patience: int = 10
    pair_bits: int = 15
    penalties: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    iterations: int = 40


@dataclass(frozen=True, slots=True)
class Fitted:
    """The student, and what was chosen for it by the error on intents that it was not fitted to.

    `errors` are root mean squares in points of relevance: of the trees alone, and of both parts.
    """

    student: Student
    rounds: int
    penalty: float | None
    errors: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Examples:
    """Intents one after another: table (m, features), pairs (m, buckets) and relevance (m,) 0..100."""

    table: Table
    pairs: csr_matrix
    relevance: Vector


def fit_student(
    factors: Factors,
    fit: Sequence[JudgedIntent],
    choose: Sequence[JudgedIntent],
    judge: str,
    parameters: StudentParameters | None = None,
    progress: Progress = silent,
) -> Fitted:
    """The student of the `fit` intents; how many trees, and the penalty of pairs, are those of least error on `choose`.

    The set must have a lexical index. The same for the same judgements.
    """
    chosen = parameters or StudentParameters()
    progress(STEP, 0, 3)
    learned, held_out = (_examples(factors, part, chosen.pair_bits) for part in (fit, choose))
    progress(STEP, 1, 3)
    booster = _boost(learned, held_out, chosen)
    rounds = booster.best_iteration or booster.current_iteration()
    left, left_held_out = (part.relevance - booster.predict(part.table) for part in (learned, held_out))
    progress(STEP, 2, 3)
    weights, penalty, error = np.zeros(1 << chosen.pair_bits), None, _rms(left_held_out)
    plain = error
    for tried in chosen.penalties:
        found = lsmr(learned.pairs, left, damp=tried**0.5, maxiter=chosen.iterations)[0]
        its_error = _rms(left_held_out - held_out.pairs @ found)
        if its_error < error:
            weights, penalty, error = found, tried, its_error
    progress(STEP, 3, 3)
    document = StudentDocument(features=FEATURES, trees=exported(booster)[:rounds], judge=judge)
    return Fitted(Student(document, weights.astype(np.float32)), rounds, penalty, (plain, error))


def _boost(learned: _Examples, held_out: _Examples, parameters: StudentParameters) -> lightgbm.Booster:
    settings = {
        "objective": "regression",
        "num_leaves": MAX_LEAVES,
        "learning_rate": parameters.learning_rate,
        "min_data_in_leaf": parameters.min_data_in_leaf,
        "seed": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(learned.table, learned.relevance)
    return lightgbm.train(
        settings,
        data,
        parameters.rounds,
        valid_sets=[lightgbm.Dataset(held_out.table, held_out.relevance, reference=data)],
        callbacks=[lightgbm.early_stopping(parameters.patience, verbose=False)],
    )


def _examples(factors: Factors, intents: Sequence[JudgedIntent], pair_bits: int) -> _Examples:
    inputs = [student_input(factors, judged.intent.split(), judged.rows) for judged in intents]
    return _Examples(
        np.concatenate([table for table, _ in inputs]),
        _pair_matrix((pairs for _, pairs in inputs), [len(judged.rows) for judged in intents], pair_bits),
        np.concatenate([judged.relevance for judged in intents]).astype(np.float64),
    )


def _pair_matrix(inputs: Iterable[PairInput], sizes: Sequence[int], pair_bits: int) -> csr_matrix:
    """Each item's pairs as a row (m, buckets) of what `Student.by_pairs` multiplies the weights with."""
    indices: list[npt.NDArray[np.int32]] = []
    values: list[npt.NDArray[np.float32]] = []
    lengths: list[npt.NDArray[np.int64]] = []
    for pairs, size in zip(inputs, sizes, strict=True):
        by_item = np.argsort(pairs.places, kind="stable")
        places = pairs.places[by_item]
        buckets = pair_buckets(pairs.intent, pairs.words[by_item], 1 << pair_bits)
        scale = pair_scale(len(pairs.intent), places, size)
        indices.append(buckets.T.ravel().astype(np.int32))
        values.append(np.repeat(scale[places], len(pairs.intent)).astype(np.float32))
        lengths.append(np.bincount(places, minlength=size) * len(pairs.intent))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return csr_matrix((np.concatenate(values), np.concatenate(indices), indptr), (len(indptr) - 1, 1 << pair_bits))


def _rms(errors: Vector) -> float:
    return float(np.sqrt(np.mean(errors**2)))
