"""Fitting the student."""

import numpy as np
import pytest

from flagrank.model.student_features import relevance
from flagrank.offline.data.judgements import Judgements, Part, met_with
from flagrank.offline.evaluation.student_quality import rank_correlation
from flagrank.offline.training.student import Fitted, StudentParameters, fit_student
from tests.factories import make_factors
from tests.offline.teachers import Teacher, by_association, by_words, judged_by, shop

FACTORS = shop()
QUICK = StudentParameters(rounds=60, min_data_in_leaf=20, pair_bits=12)


def judgements(teacher: Teacher) -> Judgements:
    return met_with(FACTORS, list(judged_by(teacher, FACTORS)))


def fitted(found: Judgements, parameters: StudentParameters = QUICK) -> Fitted:
    return fit_student(FACTORS, found.of(Part.FIT), found.of(Part.CHOOSE), "teacher", parameters)


def correlation(found: Judgements, made: Fitted) -> float:
    factors = make_factors(items=200, student=made.student)
    values = [
        rank_correlation(relevance(factors, each.intent, each.rows).astype(float), each.relevance.astype(float))
        for each in found.of(Part.REPORT)
        if len(set(each.relevance.tolist())) > 1
    ]
    return float(np.mean(values))


# by association most items are alike, and the student's order of those is chance
@pytest.mark.parametrize(("teacher", "least"), [(by_words, 0.9), (by_association, 0.4)])
def test_a_student_judges_as_its_teacher_does_on_intents_that_it_never_met(teacher: Teacher, least: float) -> None:
    """By what words tell, and by which word goes with which."""
    found = judgements(teacher)
    assert correlation(found, fitted(found)) > least


def test_only_pairs_tell_which_word_goes_with_which() -> None:
    """They are kept where they lower the error on intents held out, and it is said by how much."""
    found = judgements(by_association)
    with_pairs = fitted(found)
    plain, both = with_pairs.errors
    assert with_pairs.penalty is not None
    assert both < 0.5 * plain
    without = fitted(found, StudentParameters(rounds=60, min_data_in_leaf=20, pair_bits=12, penalties=()))
    assert without.penalty is None
    assert not without.student.pairs.any()


def test_the_published_trees_are_what_was_fitted() -> None:
    """Serving's relevance is, but for rounding to whole points, what the errors were measured with."""
    found = judgements(by_words)
    made = fitted(found)
    factors = make_factors(items=200, student=made.student)
    errors = np.concatenate(
        [relevance(factors, each.intent, each.rows) - each.relevance for each in found.of(Part.CHOOSE)]
    )
    assert float(np.sqrt(np.mean(errors.astype(float) ** 2))) == pytest.approx(made.errors[1], abs=0.4)
    assert len(made.student.document.trees) == made.rounds


def test_the_same_judgements_make_the_same_student() -> None:
    """To the last bit, whatever the order in which they were read."""
    lines = list(judged_by(by_association, FACTORS))
    one, other = (fitted(met_with(FACTORS, some)).student for some in (lines, lines[::-1]))
    assert one.document == other.document
    assert one.pairs.tobytes() == other.pairs.tobytes()
