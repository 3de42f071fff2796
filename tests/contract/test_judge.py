"""What every Judge promises."""

from collections.abc import Callable
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.in_memory import InlineExecutor, ManualClock, ScriptedJudge, ScriptedLLM
from flagrank.domain import Reason
from flagrank.errors import LLMRejected, LLMThrottled, LLMUnavailable, RerankError, RerankTimeout
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, Prompt
from flagrank.rerank.judge import Judge, Judgement
from flagrank.rerank.listwise import ListwiseJudge
from flagrank.rerank.pricing import ANY_MODEL, Price
from flagrank.timing import Deadline
from tests.wiring import completion_of, items_of

FLAG = FlagDocument(enabled=True, percent=100)
INTENT = "quiet headset"
FAILURES = (RerankTimeout, LLMThrottled, LLMRejected, LLMUnavailable)


class Bench(Protocol):
    """A judge, and what the model behind it does next."""

    @property
    def judge(self) -> Judge:
        """The judge under test."""

    def answers(self) -> None:
        """The model judges each text by its last word, a number."""

    def fails(self, error: Exception) -> None:
        """The model fails like this."""


class ListwiseBench:
    def __init__(self) -> None:
        self._answer: Callable[[Prompt], Completion] = by_number
        llm = ScriptedLLM(lambda prompt: self._answer(prompt))
        self.judge = ListwiseJudge(llm, InlineExecutor(), {ANY_MODEL: Price(input_usd=1, output_usd=2)}, 10, 4)

    def answers(self) -> None:
        self._answer = by_number

    def fails(self, error: Exception) -> None:
        def fail(prompt: Prompt) -> Completion:
            raise error

        self._answer = fail


class ScriptedBench:
    def __init__(self) -> None:
        self.judge = ScriptedJudge(lambda text: number_of(text))

    def answers(self) -> None:
        self.judge.trouble = None

    def fails(self, error: Exception) -> None:
        self.judge.trouble = error if isinstance(error, RerankError) else LLMUnavailable(str(error))


def number_of(text: str) -> int:
    return int(text.split()[-1])


def by_number(prompt: Prompt) -> Completion:
    return completion_of([number_of(item["text"]) for item in items_of(prompt)])


@pytest.fixture(params=[ListwiseBench, ScriptedBench])
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = request.param()
    return made


def judged(bench: Bench, texts: dict[int, str], flag: FlagDocument = FLAG, budget_s: float = 5.0) -> Judgement:
    clock = ManualClock()
    return bench.judge.judge(texts, INTENT, flag, Deadline(clock, clock.monotonic() + budget_s))


def test_relevance_comes_by_position(bench: Bench) -> None:
    """Whatever order a judge asks in, each score is the score of its own text."""
    bench.answers()
    texts = {3: "lamp 10", 7: "headset 95", 40: "rug 0"}
    found = judged(bench, texts)
    assert (dict(found.relevance), found.trouble) == ({3: 10, 7: 95, 40: 0}, None)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_a_value_with_its_name(bench: Bench, failure: type[RerankError]) -> None:
    """Nothing is raised: what was used must not be lost."""
    bench.fails(failure("down"))
    found = judged(bench, {0: "lamp 1", 1: "rug 2"})
    assert found.relevance == {}
    assert isinstance(found.trouble, failure)


def test_an_unforeseen_failure_is_a_value_too(bench: Bench) -> None:
    """A bug in a client costs the judgement and has a reason of the closed list."""
    bench.fails(ValueError("a bug"))
    found = judged(bench, {0: "lamp 1", 1: "rug 2"})
    assert found.trouble is not None
    assert found.trouble.reason in Reason


def test_use_is_told(bench: Bench) -> None:
    """Calls and tokens are counts, and a judge that asked nobody used nothing."""
    bench.answers()
    usage = judged(bench, {place: f"thing {place}" for place in range(25)}).usage
    assert usage.llm_calls >= 1
    assert min(usage.input_tokens, usage.output_tokens, usage.cost_micro_usd, usage.retries) >= 0


def test_the_version_is_stable_and_says_something(bench: Bench) -> None:
    """It is a part of every cache key, so one flag has one version."""
    assert bench.judge.version(FLAG) == bench.judge.version(FLAG) != ""


@pytest.mark.parametrize("make", [ListwiseBench, ScriptedBench])
@given(texts=st.dictionaries(st.integers(0, 99), st.integers(0, 100).map(lambda n: f"thing {n}"), max_size=40))
def test_only_what_was_asked_is_judged(make: Callable[[], Bench], texts: dict[int, str]) -> None:
    """Positions are those that were given, and every relevance lies in 0..100."""
    found = judged(make(), texts)
    assert found.relevance.keys() <= texts.keys()
    assert all(0 <= relevance <= 100 for relevance in found.relevance.values())
