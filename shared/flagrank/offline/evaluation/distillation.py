"""From judgements to a student with a verdict: fitted on some intents, chosen on others, measured on the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flagrank.errors import DataError
from flagrank.model.artifacts import STUDENT, STUDENT_PAIRS
from flagrank.model.factors import Factors
from flagrank.model.npy import write_npy
from flagrank.offline.data.judgements import JudgedText, Judgements, Part, met_with
from flagrank.offline.evaluation.student_quality import is_better, student_quality
from flagrank.offline.training.progress import Progress, silent
from flagrank.offline.training.student import StudentParameters, fit_student

# fewer say nothing of what a student is worth
MIN_INTENTS = 20
# the weight of the baseline in a flag document that does not say
ALPHA = 0.5


@dataclass(frozen=True, slots=True)
class Distilled:
    """A set with its student, what is known of it, and whether it may be published."""

    factors: Factors
    report: dict[str, Any]
    is_better: bool


def distill(
    factors: Factors,
    judged: Sequence[JudgedText],
    alpha: float = ALPHA,
    parameters: StudentParameters | None = None,
    progress: Progress = silent,
) -> Distilled:
    """The set with a student of one model's judgements; the same for the same judgements.

    Raises DataError if the set has no lexical index, or where fewer than MIN_INTENTS intents are left in any part.
    """
    if factors.lexical is None:
        raise DataError("artifact set", None, "has no lexical index, which a student reads; train it again")
    judgements = met_with(factors, judged)
    parts = {part: judgements.of(part) for part in Part}
    _check_enough(judgements, min(len(intents) for intents in parts.values()))
    fitted = fit_student(factors, parts[Part.FIT], parts[Part.CHOOSE], judgements.model, parameters, progress)
    student = replace(factors, student=fitted.student)
    quality = student_quality(student, parts[Part.REPORT], alpha)
    report = {
        "judge": judgements.model,
        "judgements": len(judgements),
        "unknown_texts": judgements.unknown,
        "intents": {part.name.lower(): len(intents) for part, intents in parts.items()},
        "trees": fitted.rounds,
        "pair_penalty": fitted.penalty,
        "error_points": {"trees": round(fitted.errors[0], 3), "with_pairs": round(fitted.errors[1], 3)},
        "bytes": _size(student),
        "held_out": quality,
    }
    return Distilled(student, report, is_better(quality))


def _check_enough(judgements: Judgements, fewest: int) -> None:
    if fewest < MIN_INTENTS:
        problem = (
            f"are of {len(judgements.intents)} intents whose items this catalogue holds, and {judgements.unknown} "
            f"are of texts that it does not hold: judge more, of about {10 * MIN_INTENTS} intents at least"
        )
        raise DataError("judgements", None, problem)


def _size(factors: Factors) -> dict[str, int]:
    assert factors.student is not None
    document = factors.student.document.model_dump_json().encode()
    return {STUDENT: len(document), STUDENT_PAIRS: sum(map(len, write_npy(factors.student.pairs)))}
