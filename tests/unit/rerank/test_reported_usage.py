"""What a model says of its own tokens, and what is counted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.in_memory import InlineExecutor, ManualClock, ScriptedLLM
from flagrank.errors import UnknownRerankError
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion
from flagrank.rerank.answers import COMPACT
from flagrank.rerank.judge import Judgement
from flagrank.rerank.listwise import ListwiseJudge
from flagrank.rerank.pricing import ANY_MODEL, Price
from flagrank.rerank.prompting import build_prompt, estimate_input_tokens
from flagrank.rerank.reported_usage import ADDED_TOKENS, believed_tokens
from flagrank.timing import Deadline
from tests.wiring import completion_of

PROMPT = build_prompt("a quiet headset", ["headset wireless", "steel pan"], COMPACT)
CAP = 44
ESTIMATE = (estimate_input_tokens(PROMPT), CAP)

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=1),
)


def test_what_a_model_can_have_used_is_counted_as_it_says() -> None:
    """Tokenizers differ: anything from one token to a few a byte is believed."""
    assert believed_tokens(200, 12, PROMPT, CAP) == (200, 12)


@pytest.mark.parametrize("reported", [10**20, -5, 0, "x", None, 3.5, True])
def test_input_that_nobody_can_have_used_is_estimated(reported: object) -> None:
    """Neither text nor a number outside of what the prompt can take is summed up."""
    assert believed_tokens(reported, 12, PROMPT, CAP) == (ESTIMATE[0], 12)


@pytest.mark.parametrize("reported", [10**20, -5, "x", None, 3.5, True, CAP + ADDED_TOKENS + 1])
def test_output_that_nobody_can_have_used_is_the_cap(reported: object) -> None:
    """The answer was capped, so the cap is the most that it can have cost."""
    assert believed_tokens(200, reported, PROMPT, CAP) == (200, CAP)


def judged(input_tokens: Any, output_tokens: Any) -> Judgement:
    def answer(_: object) -> Completion:
        if isinstance(input_tokens, Exception):
            raise input_tokens
        completion = completion_of([70, 20])
        return Completion(completion.text, completion.stop_reason, input_tokens, output_tokens)

    judge = ListwiseJudge(
        ScriptedLLM(answer), InlineExecutor(), {ANY_MODEL: Price(input_usd=1, output_usd=2)}, 10, parallel_calls=1
    )
    clock = ManualClock()
    flag = FlagDocument(enabled=True, percent=100)
    return judge.judge(
        {0: "headset wireless", 1: "steel pan"}, "a quiet headset", flag, Deadline(clock, clock.monotonic() + 5)
    )


def test_an_answer_that_cannot_be_read_is_billed() -> None:
    """botocore fails on a usage of "x" before anybody sees the text; the model has been paid for it all the same."""
    judgement = judged(UnknownRerankError("no answer of the API"), None)
    assert isinstance(judgement.trouble, UnknownRerankError)
    assert (judgement.usage.input_tokens, judgement.usage.output_tokens) == ESTIMATE


@given(input_tokens=anything, output_tokens=anything)
def test_no_usage_loses_the_answer_or_its_bill(input_tokens: object, output_tokens: object) -> None:
    """Whatever a model reports, its scores are used, something is spent, and it fits the counters."""
    judgement = judged(input_tokens, output_tokens)
    assert judgement.trouble is None
    assert sorted(judgement.relevance.values()) == [20, 70]
    assert 0 < judgement.usage.input_tokens < 10_000
    assert 0 <= judgement.usage.output_tokens < 10_000
    assert 0 < judgement.usage.cost_micro_usd < 100_000
