"""What every Judge promises."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Protocol

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.api_keys import ApiKey
from flagrank.adapters.bedrock_llm import BedrockLLM
from flagrank.adapters.bedrock_rerank import BedrockRerank
from flagrank.adapters.http_json import JsonService
from flagrank.adapters.http_rerank import HttpRerank
from flagrank.adapters.in_memory import (
    InlineExecutor,
    InMemoryJudgementLog,
    ManualClock,
    ScriptedJudge,
    ScriptedLLM,
    ScriptedRerank,
)
from flagrank.adapters.openai_llm import OpenAILLM
from flagrank.domain import Reason
from flagrank.errors import LLMRejected, LLMThrottled, LLMUnavailable, RerankError, RerankTimeout
from flagrank.flags.document import FlagDocument
from flagrank.ports import Completion, Prompt
from flagrank.rerank.judge import Judge, Judgement
from flagrank.rerank.keeping import KeepingJudge
from flagrank.rerank.listwise import ListwiseJudge
from flagrank.rerank.pricing import ANY_MODEL, Price
from flagrank.rerank.providers import BEDROCK
from flagrank.rerank.rerank_models import LOGIT_BOUND, RerankModelJudge
from flagrank.rerank.routing import RoutingJudge
from flagrank.timing import Deadline
from tests.adapters.loopback import Answer, Call, Loopback, chat_answer, client, converse_answer, failure
from tests.wiring import completion_of, items_of

FLAG = FlagDocument(enabled=True, percent=100, call_budget_ms=600)
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


PRICES = {ANY_MODEL: Price(input_usd=1, output_usd=2, thousand_queries_usd=2)}


class ListwiseBench:
    judge: Judge

    def __init__(self) -> None:
        self._answer: Callable[[Prompt], Completion] = by_number
        llm = ScriptedLLM(lambda prompt: self._answer(prompt))
        self.judge = ListwiseJudge(llm, InlineExecutor(), PRICES, 10, 4)

    def answers(self) -> None:
        self._answer = by_number

    def fails(self, error: Exception) -> None:
        def fail(prompt: Prompt) -> Completion:
            raise error

        self._answer = fail


class RerankModelBench:
    def __init__(self) -> None:
        self._error: Exception | None = None
        rerank = ScriptedRerank(lambda query, text: self._score(text))
        self.judge = RerankModelJudge(rerank, InlineExecutor(), PRICES)

    def answers(self) -> None:
        self._error = None

    def fails(self, error: Exception) -> None:
        self._error = error

    def _score(self, text: str) -> float:
        if self._error is not None:
            raise self._error
        return probability_of(number_of(text))


class RoutedBench(ListwiseBench):
    def __init__(self) -> None:
        super().__init__()
        self.judge = RoutingJudge({BEDROCK: self.judge})


class ScriptedBench:
    def __init__(self) -> None:
        self.judge = ScriptedJudge(lambda text: number_of(text))

    def answers(self) -> None:
        self.judge.trouble = None

    def fails(self, error: Exception) -> None:
        self.judge.trouble = error if isinstance(error, RerankError) else LLMUnavailable(str(error))


class Behind:
    """What a judge asks over loopback: the model judges each text by its last word, or fails as it was told to."""

    def __init__(self, by_number: Callable[[Call], Answer], failures: dict[type[Exception], Answer]) -> None:
        self._by_number = by_number
        self._failures = failures
        self.server = Loopback(by_number)

    def answers(self) -> None:
        self.server.respond = self._by_number

    def fails(self, error: Exception) -> None:
        # what nobody foresaw is an answer that is none of the API's
        answer = self._failures.get(type(error), Answer(200, b"<html>"))
        self.server.respond = lambda call: answer


class LoopbackBench:
    """A judge over a real adapter, which asks over HTTP."""

    def __init__(self, stack: ExitStack, name: str) -> None:
        by_number, failures = {
            "bedrock": (converse_by_number, BEDROCK_FAILURES),
            "openai": (chat_by_number, HTTP_FAILURES),
            "bedrock rerank": (bedrock_rerank_by_number, BEDROCK_FAILURES),
            "http rerank": (http_rerank_by_number, HTTP_FAILURES),
        }[name]
        behind = Behind(by_number, failures)
        self.answers, self.fails = behind.answers, behind.fails
        server = stack.enter_context(behind.server)
        executor = stack.enter_context(ThreadPoolExecutor(4))
        self.judge: Judge
        if name == "bedrock":
            llm = BedrockLLM(lambda timeout_ms: client("bedrock-runtime", server.url, read_timeout_s=timeout_ms / 1000))
            self.judge = ListwiseJudge(llm, executor, PRICES, 10, 4)
        elif name == "bedrock rerank":
            rerank = BedrockRerank(
                lambda timeout_ms: client("bedrock-agent-runtime", server.url, read_timeout_s=timeout_ms / 1000)
            )
            self.judge = RerankModelJudge(rerank, executor, PRICES)
        else:
            service = stack.enter_context(closing(JsonService(server.url + "/v1", ApiKey("key"), 4)))
            self.judge = (
                ListwiseJudge(OpenAILLM(service), executor, PRICES, 10, 4)
                if name == "openai"
                else RerankModelJudge(HttpRerank(service), executor, PRICES)
            )


BEDROCK_FAILURES: dict[type[Exception], Answer] = {
    RerankTimeout: Answer(hang=True),
    LLMThrottled: failure("ThrottlingException", 429),
    LLMRejected: failure("AccessDeniedException", 403),
    LLMUnavailable: failure("InternalServerException", 500),
}
HTTP_FAILURES: dict[type[Exception], Answer] = {
    RerankTimeout: Answer(hang=True),
    LLMThrottled: Answer(429),
    LLMRejected: Answer(401),
    LLMUnavailable: Answer(503),
}


class KeepingBench:
    def __init__(self) -> None:
        self._inner = ScriptedBench()
        self.judge = KeepingJudge(self._inner.judge, InMemoryJudgementLog(ManualClock(), keep_days=1))

    def answers(self) -> None:
        self._inner.answers()

    def fails(self, error: Exception) -> None:
        self._inner.fails(error)


def number_of(text: str) -> int:
    return int(text.split()[-1])


def by_number(prompt: Prompt) -> Completion:
    return completion_of([number_of(item["text"]) for item in items_of(prompt)])


def _judged_in_text(user: str) -> str:
    return by_number(Prompt("", user, 0, {})).text


def converse_by_number(call: Call) -> Answer:
    return converse_answer([{"text": _judged_in_text(orjson.loads(call.body)["messages"][0]["content"][0]["text"])}])


def chat_by_number(call: Call) -> Answer:
    return chat_answer(_judged_in_text(orjson.loads(call.body)["messages"][-1]["content"]))


def bedrock_rerank_by_number(call: Call) -> Answer:
    sources = orjson.loads(call.body)["sources"]
    texts = [source["inlineDocumentSource"]["textDocument"]["text"] for source in sources]
    scored = [{"index": index, "relevanceScore": probability_of(number_of(text))} for index, text in enumerate(texts)]
    return Answer(200, orjson.dumps({"results": scored[::-1]}), {"Content-Type": "application/json"})


def http_rerank_by_number(call: Call) -> Answer:
    texts = orjson.loads(call.body)["documents"]
    scored = [{"index": index, "relevance_score": probability_of(number_of(text))} for index, text in enumerate(texts)]
    return Answer(200, orjson.dumps({"results": scored[::-1]}), {"Content-Type": "application/json"})


def probability_of(relevance: int) -> float:
    """The score of a text whose relevance is this, as `relevance_of` has it."""
    return 1 / (1 + math.exp(-LOGIT_BOUND * (relevance - 50) / 50))


IN_MEMORY: dict[str, Callable[[], Bench]] = {
    "listwise": ListwiseBench,
    "rerank model": RerankModelBench,
    "scripted": ScriptedBench,
    "routed": RoutedBench,
    "keeping": KeepingBench,
}
OVER_HTTP = ("bedrock", "openai", "bedrock rerank", "http rerank")


@pytest.fixture(params=[*IN_MEMORY, *OVER_HTTP])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param in OVER_HTTP:
        with ExitStack() as stack:
            yield LoopbackBench(stack, request.param)
        return
    yield IN_MEMORY[request.param]()


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


@pytest.mark.parametrize("make", IN_MEMORY.values())
@given(texts=st.dictionaries(st.integers(0, 99), st.integers(0, 100).map(lambda n: f"thing {n}"), max_size=40))
def test_only_what_was_asked_is_judged(make: Callable[[], Bench], texts: dict[int, str]) -> None:
    """Positions are those that were given, and every relevance lies in 0..100."""
    found = judged(make(), texts)
    assert found.relevance.keys() <= texts.keys()
    assert all(0 <= relevance <= 100 for relevance in found.relevance.values())
