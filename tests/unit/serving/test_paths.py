"""Who judges what the cache does not hold: the request, a worker behind it, or both. Over in-memory adapters."""

import pytest

from flagrank.adapters.in_memory import InlineExecutor, InMemoryMetrics
from flagrank.domain import Arm, Mode, Reason
from flagrank.errors import LLMUnavailable
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName
from flagrank.ports import CacheRead, Completion, Prompt
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.handoff import REMEMBERED_S
from flagrank.rerank.listwise import ListwiseJudge
from flagrank.rerank.records import utc_day
from flagrank.rerank.spending import Allowance
from flagrank.rerank.warming import Warmer
from flagrank.rerank.worker import Message, Worker
from flagrank.settings import Settings
from tests.factories import make_factors
from tests.wiring import ENVIRONMENT, Wired, by_item_number, ids

ASYNC = FlagDocument(enabled=True, percent=100, alpha=0.0, path="async")
BOTH = ASYNC.model_copy(update={"path": "both"})
CONTROL = FlagDocument(enabled=True, percent=0)


def work(wired: Wired) -> int:
    """Judges what is on the queue, as the worker does; gives how many messages there were."""
    settings, executor = Settings.from_env(ENVIRONMENT), InlineExecutor()
    judge = ListwiseJudge(wired.llm, executor, settings.prices, 10, 10)
    warmer = Warmer(
        judge,
        wired.cache,
        Breaker(wired.clock),
        wired.clock,
        wired.clock.advance,
        settings.cache_ttl_s,
        Allowance(wired.cache),
    )
    metrics = InMemoryMetrics()
    worker = Worker(warmer, wired.cache, wired.flags, wired.clock, metrics, metrics, executor, 3600)
    bodies = wired.queue.bodies.copy()
    wired.queue.bodies.clear()
    assert worker.handle([Message(str(n), body, wired.clock.now()) for n, body in enumerate(bodies)], 120) == []
    return len(bodies)


def test_a_cold_request_gets_the_baseline_and_waits_for_nothing() -> None:
    """No call is made. It is no fallback, and it is counted as one that is warming."""
    wired = Wired(ASYNC)
    answer = wired.recommend(query="wireless")
    assert ids(answer) == ids(Wired(CONTROL).recommend(query="wireless"))
    assert (answer.mode, answer.arm, answer.reason) == (Mode.BASELINE, Arm.TREATMENT, Reason.WARMING)
    assert (answer.diagnostics.rerank_attempted, wired.llm.prompts) == (True, [])
    _, values, _ = wired.metrics.records[-1]
    counted = (MetricName.RERANK_ELIGIBLE, MetricName.RERANK_WARMING, MetricName.FALLBACK)
    assert [values[name] for name in counted] == [1, 1, 0]


def test_what_was_handed_over_is_counted_by_the_next_treated_request() -> None:
    """By then the environment knows what became of it, and it belongs to the arm that handed it over."""
    wired = Wired(ASYNC.model_copy(update={"deny": ("2",)}))
    for user in (1, 2, 1, 1):
        wired.recommend(user, query="wireless")
    assert [values[MetricName.TASKS_SENT] for _, values, _ in wired.metrics.records] == [0, 0, 1, 0]


def test_once_judged_the_list_is_that_of_an_inline_rerank() -> None:
    """The worker's scores are those that the request would have got itself."""
    wired = Wired(ASYNC)
    wired.recommend(query="wireless")
    assert work(wired) == 1
    answer = wired.recommend(query="wireless")
    inline = Wired(ASYNC.model_copy(update={"path": "inline"})).recommend(query="wireless")
    assert (answer.mode, ids(answer)) == (Mode.HYBRID_RERANK, ids(inline))
    assert answer.diagnostics.tally.usage.llm_calls == 0


def test_a_cold_user_s_warming_list_is_a_cold_start() -> None:
    """The mode says how the list came about: by popularity."""
    answer = Wired(ASYNC).recommend(424242, query="wireless")
    assert (answer.mode, answer.reason) == (Mode.COLD_START, Reason.WARMING)


def test_only_what_is_missing_is_handed_over() -> None:
    """Another user's list for the same query shares items with the first one's."""
    wired = Wired(ASYNC)
    wired.recommend(1, query="wireless")
    (first,) = wired.queue.tasks
    work(wired)
    wired.clock.advance(REMEMBERED_S)
    wired.recommend(2, query="wireless")
    (second,) = wired.queue.tasks
    assert second.texts
    assert not {*first.texts} & {*second.texts}
    assert (second.intent, second.model_id, second.version) == (first.intent, first.model_id, first.version)


def test_enough_scores_are_served_while_the_rest_is_judged() -> None:
    """Half of the head suffices for a partial rerank, as it does inline."""
    wired = Wired(ASYNC.model_copy(update={"max_input_tokens": 2200}))
    wired.recommend(query="wireless")
    work(wired)
    wired.clock.advance(REMEMBERED_S)
    assert wired.recommend(query="wireless").mode is Mode.PARTIAL_RERANK
    work(wired)
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK


def test_a_spent_day_hands_nothing_over() -> None:
    """The cap has the name that it has inline, and known scores are served all the same."""
    wired = Wired(ASYNC)
    wired.recommend(query="wireless")
    work(wired)
    wired.cache.reserve_spend(utc_day(wired.clock.now()), 10**9, 10**18)
    answer = wired.recommend(query="steel")
    assert (answer.mode, answer.reason, wired.queue.tasks) == (Mode.FALLBACK_BASELINE, Reason.COST_CAP, [])
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK


def test_a_queue_that_fails_costs_the_request_nothing() -> None:
    """The failure is counted by the next request."""
    wired = Wired(ASYNC)
    wired.queue.broken = True
    for _ in range(2):
        assert wired.recommend(query="wireless").reason is Reason.WARMING
    _, values, _ = wired.metrics.records[-1]
    assert (values[MetricName.HANDOFF_FAILURE], values[MetricName.TASKS_SENT]) == (1, 0)


def test_an_unreadable_cache_is_a_fallback_on_every_path() -> None:
    """Nothing is handed over: nobody knows what is missing."""
    for flag in (ASYNC, BOTH):
        wired = Wired(flag)
        wired.cache.broken = True
        assert wired.recommend(query="wireless").reason is Reason.CACHE
        assert wired.queue.tasks == []


def test_shadow_mode_warms_as_well() -> None:
    """What is measured in shadow is what would be served."""
    wired = Wired(ASYNC.model_copy(update={"mode": "shadow"}))
    assert wired.recommend(query="wireless").reason is Reason.WARMING
    work(wired)
    answer = wired.recommend(query="wireless")
    assert answer.reason is Reason.SHADOW
    assert answer.diagnostics.shadow is not None


def test_inline_hands_nothing_over() -> None:
    """A document without a path means what it meant."""
    assert FlagDocument().path == "inline"
    wired = Wired()
    wired.recommend(query="wireless")
    assert wired.queue.tasks == []


def test_both_judges_inline_what_it_can() -> None:
    """With a quick LLM nothing is left to hand over."""
    wired = Wired(BOTH)
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK
    assert wired.queue.tasks == []


def test_both_hands_over_what_was_not_judged() -> None:
    """What was judged is served and cached; the rest is a task."""
    failing = {"7", "8"}

    def stubborn(prompt: Prompt) -> Completion:
        hopeless = any(f" {number}" in prompt.user for number in failing)
        return Completion("oops", "end_turn", 9, 9) if hopeless else by_item_number(prompt)

    wired = Wired(BOTH, stubborn, factors=make_factors(items=63, users=1))
    wired.recommend(query="wireless")
    (task,) = wired.queue.tasks
    failing.clear()
    assert work(wired) == 1
    answer = wired.recommend(query="wireless")
    assert (answer.mode, answer.diagnostics.tally.cache_hits) == (Mode.HYBRID_RERANK, 60)
    assert 0 < len(task.texts) < 60


def test_both_names_the_failure_that_the_request_waited_for() -> None:
    """It paid and waited, so it is a fallback; once the breaker is open it waits for nothing, and is warming."""

    def fail(prompt: Prompt) -> Completion:
        raise LLMUnavailable("down")

    wired = Wired(BOTH, fail)
    answers = [wired.recommend(query=f"query {number}") for number in range(7)]
    assert [answer.reason for answer in answers] == [Reason.LLM_UNAVAILABLE] * 5 + [Reason.WARMING] * 2
    assert len(wired.queue.tasks) == 7


def test_both_without_time_for_a_call_is_warming() -> None:
    """Too little of the budget is left, so nothing is called and nothing is waited for."""
    wired = Wired(BOTH.model_copy(update={"request_budget_ms": 20, "call_budget_ms": 19}))
    read = wired.cache.read

    def slow_read(key: str, day: str, entries: object = ()) -> CacheRead:
        wired.clock.advance(0.015)
        return read(key, day)

    wired.cache.read = slow_read  # type: ignore[method-assign]
    assert wired.recommend(query="wireless").reason is Reason.WARMING
    assert len(wired.queue.tasks) == 1


@pytest.mark.parametrize("flag", [ASYNC, BOTH], ids=lambda flag: flag.path)
def test_scores_that_are_about_to_lapse_are_judged_again(flag: FlagDocument) -> None:
    """They are served meanwhile, and afterwards they hold for another day; nobody's request waits."""
    wired = Wired(flag)
    wired.recommend(query="wireless")
    work(wired)
    wired.clock.advance(0.85 * 24 * 3600)
    wired.recommend(query="wireless")
    while not wired.queue.tasks:
        wired.clock.advance(600)
        assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK
    (task,) = wired.queue.tasks
    assert (task.refresh, len(task.texts)) == (True, 60)
    calls = len(wired.llm.prompts)
    work(wired)
    assert len(wired.llm.prompts) == calls + 6
    wired.clock.advance(0.5 * 24 * 3600)
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK
    assert wired.queue.tasks == []
