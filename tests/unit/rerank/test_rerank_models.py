"""The judge over a rerank model: calibration, limits and price."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.in_memory import InlineExecutor, ManualClock, ScriptedRerank
from flagrank.errors import BudgetExhausted, LLMRejected, LowCoverage, MalformedAnswer, RerankError, RerankTimeout
from flagrank.flags.document import FlagDocument
from flagrank.rerank.judge import Judgement
from flagrank.rerank.pricing import ANY_MODEL, Price
from flagrank.rerank.rerank_models import LOGIT_BOUND, RerankModelJudge, Scale, parse_scores, relevance_of
from flagrank.timing import Deadline

FLAG = FlagDocument(model_id="rerank:cohere.rerank-v3-5:0")
PRICES = {ANY_MODEL: Price(input_usd=1.0), "rerank:*": Price(thousand_queries_usd=2.0)}


def judged(
    texts: dict[int, str], flag: FlagDocument = FLAG, score: float = 0.5, trouble: RerankError | None = None
) -> Judgement:
    def answer(query: str, text: str) -> float:
        if trouble is not None:
            raise trouble
        return score

    clock = ManualClock()
    judge = RerankModelJudge(ScriptedRerank(answer), InlineExecutor(), PRICES)
    return judge.judge(texts, "quiet headset", flag, Deadline(clock, clock.monotonic() + 5))


@pytest.mark.parametrize(
    ("log_odds", "relevance"), [(0, 50), (LOGIT_BOUND, 100), (-LOGIT_BOUND, 0), (50, 100), (-math.inf, 0), (2.0, 60)]
)
def test_relevance_is_a_line_of_the_log_odds(log_odds: float, relevance: int) -> None:
    """From 0 to 100 between the bounds, and flat beyond them."""
    assert relevance_of(log_odds) == relevance


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_better_score_is_never_less_relevant(one: float, other: float) -> None:
    """The model's order is kept, and the scale is that of every judge."""
    worse, better = sorted((one, other))
    assert 0 <= relevance_of(worse) <= relevance_of(better) <= 100


@given(st.floats(-9, 9))
def test_a_probability_and_its_log_odds_are_as_relevant(log_odds: float) -> None:
    """Two servers of one model give one relevance, whichever of the two they send."""
    probability = 1 / (1 + math.exp(-log_odds))
    found = parse_scores([(0, probability)], 1, "probability")[0]
    assert abs(found - parse_scores([(0, log_odds)], 1, "logit")[0]) <= 1


def test_small_probabilities_are_told_apart() -> None:
    """A good match of a short text was seen to score 0.0029 beside 0.0003 and 0.0000; hundredths would tie them."""
    found = parse_scores([(0, 0.0029), (1, 0.0003), (2, 0.0)], 3, "probability")
    assert found[0] > found[1] > found[2]


def test_a_score_depends_on_nothing_but_itself() -> None:
    """It is cached by text, and met again beside other texts."""
    alone = parse_scores([(0, 0.2)], 1, "probability")[0]
    assert parse_scores([(0, 0.2), (1, 0.9), (2, 0.01)], 3, "probability")[0] == alone


@pytest.mark.parametrize(
    ("scores", "scale"),
    [
        ([], "probability"),
        ([(0, 7.7), (1, -2.3)], "probability"),
        ([(0, math.nan), (1, math.nan)], "probability"),
        ([(0, math.inf), (1, math.nan)], "logit"),
        ([(5, 0.5)], "probability"),
        ([(-1, 0.5)], "probability"),
    ],
)
def test_scores_that_cannot_be_read_are_malformed(scores: list[tuple[int, float]], scale: Scale) -> None:
    """Log-odds where probabilities were promised are no judgement, and the reason is `parse`."""
    with pytest.raises(MalformedAnswer):
        parse_scores(scores, 2, scale)


def test_a_text_that_is_scored_twice_is_not_scored() -> None:
    """Which of the two is meant, nobody knows; the others stand."""
    assert parse_scores([(0, 0.5), (1, 0.1), (1, 0.9)], 2, "probability") == {0: 50}


def test_too_few_scores_are_low_coverage() -> None:
    """A judge that leaves most of the list out has not judged it."""
    with pytest.raises(LowCoverage):
        parse_scores([(0, 0.5)], 3, "probability")


def test_a_query_has_its_own_price() -> None:
    """Two USD a thousand: 2,000 micro-USD, however long the texts are."""
    assert judged({0: "lamp", 1: "rug " * 40}).usage.cost_micro_usd == 2000


@pytest.mark.parametrize(("trouble", "cost"), [(LLMRejected("no"), 0), (RerankTimeout("late"), 2000)])
def test_a_refused_call_is_free_and_a_late_one_is_not(trouble: RerankError, cost: int) -> None:
    """The model judged, and the bill says so, whether or not anyone waited."""
    usage = judged({0: "lamp"}, trouble=trouble).usage
    assert (usage.llm_calls, usage.cost_micro_usd) == (1, cost)
    assert usage.rejected + usage.timeouts == 1


def test_texts_beyond_the_token_limit_are_left_out_from_the_end() -> None:
    """The baseline's best are judged first."""
    flag = FLAG.model_copy(update={"max_input_tokens": 200})
    found = judged(dict.fromkeys(range(20), "word " * 20), flag)
    assert sorted(found.relevance) == list(range(len(found.relevance)))
    assert 0 < len(found.relevance) < 20


def test_an_empty_text_is_not_sent() -> None:
    """Services refuse it, and all others with it."""
    assert judged({0: " \n", 1: "lamp"}).relevance == {1: 50}
    assert isinstance(judged({0: ""}).trouble, BudgetExhausted)


def test_another_scale_is_another_version() -> None:
    """So that no score is read by a scale that it was not made with."""
    judges = [RerankModelJudge(ScriptedRerank(lambda q, t: 0), InlineExecutor(), PRICES, s) for s in SCALES]
    assert len({judge.version(FLAG) for judge in judges}) == 2


SCALES: tuple[Scale, ...] = ("probability", "logit")
