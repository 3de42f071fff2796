"""What a student is worth, and whether it may be published."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.errors import DataError
from flagrank.offline.data.judgements import JudgedIntent
from flagrank.offline.evaluation.distillation import Distilled, distill
from flagrank.offline.evaluation.student_quality import ndcg_by_relevance, rank_correlation, student_quality
from flagrank.offline.training.student import StudentParameters
from tests.factories import make_factors, make_student
from tests.offline.teachers import INTENTS, Teacher, by_association, by_words, judged_by, shop, shuffled

FACTORS = shop()
QUICK = StudentParameters(rounds=60, min_data_in_leaf=20, pair_bits=12)


def distilled(teacher: Teacher) -> Distilled:
    return distill(FACTORS, list(judged_by(teacher, FACTORS)), parameters=QUICK)


@pytest.mark.parametrize("teacher", [by_words, by_association])
def test_a_student_that_learned_something_may_be_published(teacher: Teacher) -> None:
    """Its gain and its correlation are above zero beyond doubt, on intents that had no part in it."""
    made = distilled(teacher)
    held_out = made.report["held_out"]
    assert made.is_better
    assert held_out["ndcg@10"]["gain"]["ci95"][0] > 0
    assert held_out["rank_correlation"]["gain"]["ci95"][0] > 0
    assert made.factors.student is not None


@pytest.mark.parametrize("teacher", [by_words, by_association])
def test_shuffled_judgements_are_not_published(teacher: Teacher) -> None:
    """There is nothing to learn in them: whatever was fitted, it is worth nothing on intents held out."""
    made = distilled(shuffled(teacher))
    assert not made.is_better
    low, high = made.report["held_out"]["rank_correlation"]["student"]["ci95"]
    assert low < 0.1
    assert high < 0.2


def test_a_baseline_that_orders_as_the_llm_does_leaves_nothing_to_gain() -> None:
    """The student may be as good as its teacher, and is of no use."""
    best_first = sorted(judged_by(by_words, FACTORS), key=lambda each: -each.relevance)
    ranked = [replace(each, rank=rank) for rank, each in enumerate(best_first)]
    made = distill(FACTORS, ranked, parameters=QUICK)
    assert made.report["held_out"]["ndcg@10"]["baseline"]["mean"] == 1
    assert not made.is_better


def test_without_ranks_the_baseline_is_the_query_s_words() -> None:
    """The order that somebody without a history gets: it meets the words already, and popularity decides ties."""
    popularity = np.linspace(500, 1, 200).astype(np.float32)
    factors = make_factors(items=200, popularity=popularity, student=make_student())
    rows, relevance = np.array([8, 1, 0, 7]), np.array([10, 0, 100, 40])
    judged = JudgedIntent("steel", rows, relevance, ranked=False)
    # "steel" is in rows 1 and 8, of which 1 is more popular, then 0 before 7
    expected = ndcg_by_relevance(np.array([1, 0, 2, 3]), relevance)
    assert student_quality(factors, [judged], alpha=0.5)["ndcg@10"]["baseline"]["mean"] == pytest.approx(expected)


def test_the_blend_is_the_flag_s() -> None:
    """With nearly all the weight on the baseline the student changes nothing, without any it decides alone."""
    factors = make_factors(items=200, student=make_student())
    judged = JudgedIntent("steel", np.array([0, 2, 1]), np.array([0, 0, 100]), ranked=True)
    plain, whole = (student_quality(factors, [judged], alpha)["ndcg@10"] for alpha in (0.99, 0.0))
    assert plain["gain"]["mean"] == 0
    assert whole["student"]["mean"] == 1


def test_too_few_intents_are_refused() -> None:
    """Nothing could be said of a student; judgements of other catalogues are counted in the reason."""
    lines = list(judged_by(by_words, FACTORS, INTENTS[:30]))
    with pytest.raises(DataError, match="30 intents"):
        distill(FACTORS, lines)
    with pytest.raises(DataError, match=f"{len(lines)} are of texts"):
        distill(FACTORS, [replace(each, key=b"unknown!") for each in lines])
    with pytest.raises(DataError, match="0 intents"):
        distill(FACTORS, [])


def test_a_set_without_an_index_is_refused() -> None:
    """Sets of earlier releases have none."""
    with pytest.raises(DataError, match="lexical index"):
        distill(make_factors(items=200, lexical=None), [])


@given(st.lists(st.integers(0, 100), min_size=2, max_size=12), st.data())
def test_no_order_is_better_than_the_llm_s_own(relevance: list[int], data: st.DataObject) -> None:
    """NDCG is 1 for it, and at most 1 for any other; 0 where nothing is relevant."""
    scores = np.array(relevance)
    other = np.array(data.draw(st.permutations(range(len(scores)))))
    best = ndcg_by_relevance(np.argsort(-scores, kind="stable"), scores)
    assert best == pytest.approx(1 if scores.any() else 0)
    assert ndcg_by_relevance(other, scores) <= best + 1e-9


@pytest.mark.parametrize(
    ("one", "other", "rho"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
        ([1, 2, 2, 4], [1, 2, 3, 4], 4.5 / (4.5 * 5) ** 0.5),
        ([5, 5, 5], [1, 2, 3], 0.0),
    ],
)
def test_rank_correlation_is_spearman_s(one: list[float], other: list[float], rho: float) -> None:
    """With the mean rank for ties."""
    assert rank_correlation(np.array(one, float), np.array(other, float)) == pytest.approx(rho)
