"""One request through the whole pipeline, over in-memory adapters."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.domain import Arm, Mode, QueryMatch, Reason, UserKind
from flagrank.errors import FactorsUnavailable, InvalidRequest, LLMRejected, LLMThrottled, LLMUnavailable, RerankTimeout
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName
from flagrank.ports import CacheRead, Completion, Prompt
from tests.factories import make_factors
from tests.wiring import Wired, by_item_number, completion_of, ids, items_of

TREATED = FlagDocument(enabled=True, percent=100, alpha=0.0)
CONTROL = FlagDocument(enabled=True, percent=0)


def test_a_treated_user_gets_the_head_in_the_llm_s_order() -> None:
    """With alpha 0 the list follows the LLM's relevance among the head's items."""
    answer = Wired().recommend(query="anything wireless", top_k=5)
    numbers = [int(entry.candidate.text.split()[-1]) for entry in answer.items]
    assert (answer.mode, answer.arm, answer.reason) == (Mode.HYBRID_RERANK, Arm.TREATMENT, Reason.SPLIT)
    assert [min(100, number) for number in numbers] == sorted((min(100, n) for n in numbers), reverse=True)
    assert answer.versions.model == TREATED.model_id
    assert answer.diagnostics.tally.usage.llm_calls == 6


def test_a_control_user_gets_the_baseline_and_no_call_goes_out() -> None:
    """Outside the treatment the LLM is not asked."""
    wired = Wired(CONTROL)
    answer = wired.recommend(query="wireless")
    assert (answer.mode, answer.arm, answer.versions.model) == (Mode.BASELINE, Arm.CONTROL, None)
    assert wired.llm.prompts == []


def test_alpha_one_serves_the_baseline_without_asking() -> None:
    """An LLM whose weight is 0 is not paid for."""
    wired = Wired(TREATED.model_copy(update={"alpha": 1.0}))
    baseline = Wired(CONTROL).recommend(query="wireless")
    answer = wired.recommend(query="wireless")
    assert answer.items == baseline.items
    assert (answer.reason, wired.llm.prompts) == (Reason.ALPHA_ONE, [])


@pytest.mark.parametrize("user_id", range(1, 9))
def test_an_item_that_the_llm_is_talked_into_rises_no_further_than_the_cap(user_id: int) -> None:
    """The last of the head gets the only relevance there is: twenty places up it stops, which is far from the list."""
    baseline = Wired(CONTROL).recommend(user_id, query="wireless", top_k=60).items
    hostile = baseline[-1].candidate

    def talked_into(prompt: Prompt) -> Completion:
        return completion_of([100 * (item["text"] == hostile.text) for item in items_of(prompt)])

    def place_under(cap: int | None) -> int:
        flag = FlagDocument(enabled=True, percent=100, alpha=0.3, promotion_cap=cap)
        return ids(Wired(flag, talked_into).recommend(user_id, query="wireless", top_k=60)).index(hostile.item_id)

    assert (place_under(None), place_under(20)) == (0, 39)


UNJUDGED_MET = TREATED.model_copy(update={"judge_met_queries": False, "student": "fill"})


def test_a_query_that_an_item_meets_whole_may_be_left_to_the_baseline() -> None:
    """No call is made and the list is the control's; `explain` says that the query is met."""
    wired = Wired(UNJUDGED_MET)
    answer = wired.recommend(query="wireless")
    assert ids(answer) == ids(Wired(CONTROL).recommend(query="wireless"))
    assert (answer.mode, answer.reason, wired.llm.prompts) == (Mode.BASELINE, Reason.GATED, [])
    assert answer.diagnostics.query is not None
    assert answer.diagnostics.query.met_whole
    assert Wired().recommend(query="wireless").mode is Mode.HYBRID_RERANK


@pytest.mark.parametrize("query", ["wireles", "wireless zzyzx", "wireless for work", None])
def test_a_query_that_no_item_meets_whole_is_judged(query: str | None) -> None:
    """One that is misspelt, that has an unknown word, that says a purpose, and a request without any."""
    answer = Wired(UNJUDGED_MET).recommend(query=query)
    assert answer.mode is Mode.HYBRID_RERANK
    assert answer.diagnostics.query is None or not answer.diagnostics.query.met_whole


def test_the_second_request_is_answered_from_the_cache() -> None:
    """The same user and query makes no call and gets the same list."""
    wired = Wired()
    first, second = (wired.recommend(query="wireless") for _ in range(2))
    assert ids(first) == ids(second)
    assert (second.diagnostics.tally.usage.llm_calls, second.diagnostics.tally.cache_hits) == (0, 60)
    assert second.mode is Mode.HYBRID_RERANK


def test_another_query_is_another_question() -> None:
    """Scores for one intent never answer another."""
    wired = Wired()
    wired.recommend(query="wireless")
    assert wired.recommend(query="steel").diagnostics.tally.cache_hits == 0


@pytest.mark.parametrize("change", [{"model_id": "other.model"}])
def test_another_model_never_meets_old_scores(change: dict[str, str]) -> None:
    """A flag that names another model starts with an empty cache."""
    wired = Wired()
    wired.recommend(query="wireless")
    wired.flags.document = TREATED.model_copy(update=change)
    assert wired.recommend(query="wireless").diagnostics.tally.cache_hits == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RerankTimeout("late"), Reason.TIMEOUT),
        (LLMThrottled("busy"), Reason.THROTTLED),
        (LLMRejected("no access"), Reason.LLM_REJECTED),
        (LLMUnavailable("down"), Reason.LLM_UNAVAILABLE),
        (RuntimeError("a bug"), Reason.UNKNOWN),
    ],
)
def test_any_llm_failure_serves_the_baseline_with_its_reason(error: Exception, reason: Reason) -> None:
    """The list is the control's, the reason names the failure, and nothing is cached."""

    def fail(prompt: Prompt) -> Completion:
        raise error

    wired = Wired(answer=fail)
    answer = wired.recommend(query="wireless")
    assert ids(answer) == ids(Wired(CONTROL).recommend(query="wireless"))
    assert (answer.mode, answer.arm, answer.reason) == (Mode.FALLBACK_BASELINE, Arm.TREATMENT, reason)
    assert wired.recommend(query="wireless").diagnostics.tally.cache_hits == 0


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (Completion("no idea", "end_turn", 9, 9), Reason.PARSE),
        (Completion('{"scores": ["x", "x", "x", "x", "x", "x", 1, 2, 3, 4]}', "end_turn", 9, 9), Reason.LOW_COVERAGE),
        (completion_of([50] * 10, "max_tokens"), Reason.CUT_OFF),
        (completion_of([0] * 10), Reason.ALL_TIED),
    ],
)
def test_an_answer_without_an_order_serves_the_baseline(completion: Completion, reason: Reason) -> None:
    """Malformed, thin, cut-off and all-tied answers are failures, each under its own name, and never cached."""
    wired = Wired(answer=lambda prompt: completion)
    answer = wired.recommend(query="wireless")
    assert (answer.mode, answer.reason) == (Mode.FALLBACK_BASELINE, reason)
    assert wired.recommend(query="wireless").diagnostics.tally.cache_hits == 0


def test_a_malformed_batch_is_asked_once_more() -> None:
    """One bad answer costs a retry, not the rerank."""
    answers = iter([Completion("oops", "end_turn", 9, 9)])
    wired = Wired(answer=lambda prompt: next(answers, None) or by_item_number(prompt))
    answer = wired.recommend(query="wireless")
    tally = answer.diagnostics.tally
    assert answer.mode is Mode.HYBRID_RERANK
    assert (tally.usage.llm_calls, tally.usage.retries, tally.usage.parse_failures) == (7, 1, 1)


def test_a_batch_that_stays_malformed_leaves_a_partial_rerank() -> None:
    """Its items keep their baseline positions, the others move."""

    def stubborn(prompt: Prompt) -> Completion:
        hopeless = any(item["text"].endswith(" 7") for item in items_of(prompt))
        return Completion("oops", "end_turn", 9, 9) if hopeless else by_item_number(prompt)

    factors = make_factors(items=63, users=1)
    baseline = Wired(CONTROL, factors=factors).recommend(query="wireless", top_k=60)
    answer = Wired(answer=stubborn, factors=factors).recommend(query="wireless", top_k=60)
    unjudged = {entry.candidate.row for entry in answer.items if entry.llm_score is None}
    assert answer.mode is Mode.PARTIAL_RERANK
    assert len(unjudged) == 10
    positions = {entry.candidate.row: place for place, entry in enumerate(baseline.items)}
    assert all(positions[e.candidate.row] == p for p, e in enumerate(answer.items) if e.candidate.row in unjudged)


def test_a_failing_llm_is_left_alone_after_a_few_requests_and_probed_later() -> None:
    """The breaker opens, requests fall back at once, and one success closes it again."""
    down = True

    def answer(prompt: Prompt) -> Completion:
        if down:
            raise LLMUnavailable("down")
        return by_item_number(prompt)

    wired = Wired(answer=answer)
    reasons = [wired.recommend(query="wireless").reason for _ in range(7)]
    assert reasons == [Reason.LLM_UNAVAILABLE] * 5 + [Reason.BREAKER_OPEN] * 2
    down = False
    wired.clock.advance(60)
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK


def test_the_daily_cap_stops_the_calls_but_not_the_cache() -> None:
    """Once the day's money is spent new questions fall back, old ones are still answered."""
    wired = Wired(TREATED.model_copy(update={"daily_usd_cap": 0.0001}))
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK
    assert wired.recommend(query="steel").reason is Reason.COST_CAP
    assert wired.recommend(query="wireless").mode is Mode.HYBRID_RERANK


def test_the_cap_is_for_one_day() -> None:
    """The next UTC day begins with nothing spent."""
    wired = Wired(TREATED.model_copy(update={"daily_usd_cap": 0.0001}))
    wired.recommend(query="wireless")
    wired.clock.advance(24 * 3600)
    assert wired.recommend(query="steel").mode is Mode.HYBRID_RERANK


def test_a_broken_cache_serves_the_baseline() -> None:
    """Without the day's spend the LLM is not asked, and the request still succeeds."""
    wired = Wired()
    wired.cache.broken = True
    answer = wired.recommend(query="wireless")
    assert (answer.mode, answer.reason, wired.llm.prompts) == (Mode.FALLBACK_BASELINE, Reason.CACHE, [])


def test_a_hanging_cache_costs_no_more_than_the_request_has() -> None:
    """A table that never answers is given up at the deadline."""
    wired = Wired(TREATED.model_copy(update={"request_budget_ms": 60, "call_budget_ms": 40}))
    answered = threading.Event()

    def hang(key: str, day: str, entries: object = ()) -> CacheRead:
        answered.wait(30)
        return CacheRead(None)

    wired.cache.read = hang  # type: ignore[method-assign]
    answer = wired.recommend(query="wireless")
    answered.set()
    assert (answer.mode, answer.reason, wired.llm.prompts) == (Mode.FALLBACK_BASELINE, Reason.CACHE, [])


def test_a_request_without_time_left_falls_back_at_once() -> None:
    """A flag whose budgets leave no room for a call does not begin one."""
    wired = Wired(TREATED.model_copy(update={"request_budget_ms": 20, "call_budget_ms": 19}))
    clock = wired.clock
    read = wired.cache.read

    def slow_read(key: str, day: str, entries: object = ()) -> object:
        clock.advance(0.015)
        return read(key, day)

    wired.cache.read = slow_read  # type: ignore[assignment, method-assign]
    assert wired.recommend(query="wireless").reason is Reason.BUDGET
    assert wired.llm.prompts == []


def test_shadow_mode_asks_the_llm_and_serves_the_baseline() -> None:
    """What the LLM would have done is measured, not shown."""
    wired = Wired(TREATED.model_copy(update={"mode": "shadow"}))
    answer = wired.recommend(query="wireless")
    assert ids(answer) == ids(Wired(CONTROL).recommend(query="wireless"))
    assert (answer.mode, answer.reason, answer.diagnostics.tally.usage.llm_calls) == (Mode.BASELINE, Reason.SHADOW, 6)


def test_shadow_mode_records_what_would_have_changed() -> None:
    """The list that would have been served, rules and all, and how far it is from the one that was."""
    rules = {"FLAGRANK_RULES": '{"pin": [105], "category_cap": 4}'}
    shadowed = Wired(TREATED.model_copy(update={"mode": "shadow"}), environment=rules)
    answer = shadowed.recommend(query="wireless")
    served = ids(Wired(TREATED, environment=rules).recommend(query="wireless"))
    shadow = answer.diagnostics.shadow
    assert shadow is not None
    assert [*shadow.items] == served
    assert shadow.changed
    assert shadow.overlap == len({*served} & {*ids(answer)}) / len(served)
    _, values, metadata = shadowed.metrics.records[-1]
    assert (values["ShadowChanged"], values["ShadowOverlap"]) == (1.0, shadow.overlap)
    assert metadata["shadow_items"] == ",".join(map(str, served))


def test_only_shadow_mode_compares() -> None:
    """A list that is served has nothing to be compared with, and neither has a rerank that failed."""
    assert Wired(TREATED).recommend(query="wireless").diagnostics.shadow is None
    failing = Wired(TREATED.model_copy(update={"mode": "shadow"}), lambda prompt: completion_of([]))
    assert failing.recommend(query="wireless").diagnostics.shadow is None


def test_a_cold_user_gets_popular_items() -> None:
    """Nothing is known, so nothing is asked."""
    wired = Wired()
    answer = wired.recommend(user_id=424242)
    assert (answer.mode, answer.reason, wired.llm.prompts) == (Mode.COLD_START, Reason.NO_INTENT, [])
    popularity = [wired.factors.popularity[entry.candidate.row] for entry in answer.items]
    assert popularity == sorted(popularity, reverse=True)


def test_a_cold_user_with_a_query_is_reranked() -> None:
    """A query is an intent, whoever asks."""
    answer = Wired().recommend(user_id=424242, query="wireless")
    assert answer.mode is Mode.HYBRID_RERANK
    assert answer.diagnostics.user is UserKind.COLD


def test_a_known_user_without_a_query_is_reranked_by_profile() -> None:
    """The recent items say what the user likes."""
    answer = Wired().recommend(user_id=1)
    assert answer.mode is Mode.HYBRID_RERANK
    assert answer.diagnostics.intent


def test_unknown_ids_are_ignored_and_counted() -> None:
    """History and exclusions from another catalogue version do no harm."""
    answer = Wired().recommend(user_id=77777, history=(100, 5, 101), exclude=(6, 102))
    assert answer.diagnostics.user is UserKind.FOLD_IN
    assert answer.diagnostics.ignored_ids == 2


def test_malformed_ids_name_their_field() -> None:
    """An id of the wrong kind is the caller's error."""
    with pytest.raises(InvalidRequest, match="exclude"):
        Wired().recommend(exclude=("not-a-number",))


def test_without_factors_there_is_no_answer() -> None:
    """The one failure that cannot be degraded."""
    with pytest.raises(FactorsUnavailable):
        Wired(factors=None).recommend()


def test_a_category_narrows_every_arm() -> None:
    """Only items of the category are served; an unknown one serves none."""
    for flag in (CONTROL, TREATED):
        found = Wired(flag).recommend(category="audio", query="wireless", top_k=20)
        assert {entry.candidate.category for entry in found.items} == {"audio"}
        assert Wired(flag).recommend(category="nowhere", query="wireless").items == ()


@settings(max_examples=30, deadline=None)
@given(
    percent=st.sampled_from([0, 100]),
    blocked=st.sets(st.integers(100, 299), max_size=20),
    excluded=st.sets(st.integers(100, 299), max_size=20),
    pins=st.lists(st.integers(90, 310), max_size=4, unique=True),
    user_id=st.integers(1, 12),
    top_k=st.integers(1, 100),
)
def test_no_arm_serves_what_is_seen_excluded_or_blocked(
    percent: int, blocked: set[int], excluded: set[int], pins: list[int], user_id: int, top_k: int
) -> None:
    """Whatever the LLM says, the list is full, has no repeats, and holds nothing that must not be there."""
    rules = f'{{"block": {sorted(blocked)}, "pin": {pins}, "category_cap": 5, "mmr_lambda": 0.8}}'
    flag = FlagDocument(enabled=True, percent=percent, alpha=0.0)
    wired = Wired(flag, environment={"FLAGRANK_RULES": rules})
    answer = wired.recommend(user_id, query="wireless", exclude=tuple(excluded), top_k=top_k)
    served = set(ids(answer))
    row = wired.factors.user_row(user_id)
    seen = {wired.factors.item_id(item) for item in wired.factors.seen(row)} if row is not None else set()
    assert not served & (blocked | excluded | seen)
    assert len(served) == len(answer.items) == top_k
    allowed_pins = [pin for pin in pins if 100 <= pin < 300 and pin not in blocked | excluded | seen]
    assert ids(answer)[: len(allowed_pins)] == allowed_pins[:top_k]


def test_rules_with_ids_of_another_kind_do_no_harm() -> None:
    """An operator's typo in a rule is no caller's 422."""
    wired = Wired(environment={"FLAGRANK_RULES": '{"block": ["typo", 100], "pin": ["x"]}'})
    assert 100 not in ids(wired.recommend(top_k=100))


def test_every_answer_is_counted_once_with_its_arm() -> None:
    """Requests, calls, tokens and money of a treated request reach the metrics; ids are metadata."""
    wired = Wired()
    wired.recommend(query="wireless")
    wired.recommend(query="wireless")
    (arm, first, metadata), (_, second, _) = wired.metrics.records
    assert arm == "treatment"
    assert metadata["reason"] == "split"
    assert (first[MetricName.REQUESTS], first[MetricName.LLM_CALLS], first[MetricName.RERANK_APPLIED]) == (1, 6, 1)
    assert first[MetricName.INPUT_TOKENS] == 600
    assert first[MetricName.COST_MICRO_USD] == round(600 * 0.06 + 300 * 0.24)
    assert (first[MetricName.COLD_START], second[MetricName.COLD_START]) == (1, 0)
    assert (second[MetricName.CACHE_HIT], second[MetricName.LLM_CALLS]) == (60, 0)
    assert set(first) == {name for name in MetricName if not name.startswith("Shadow")}


def test_a_reload_of_the_factors_is_counted() -> None:
    """The request after a new version says so once."""
    wired = Wired()
    wired.recommend()
    wired.store.publish(make_factors(items=200, seed=5, version="new"))
    answers = [wired.recommend() for _ in range(2)]
    assert answers[0].versions.factors == "new"
    assert [record[1][MetricName.FACTORS_RELOAD] for record in wired.metrics.records] == [0, 1, 0]


def test_the_input_token_limit_shrinks_what_is_asked() -> None:
    """The items furthest down are left out, and the rest is reranked."""
    wired = Wired(TREATED.model_copy(update={"max_input_tokens": 2200}))
    answer = wired.recommend(query="wireless", top_k=60)
    asked = sum(prompt.size for prompt in wired.llm.prompts)
    assert 30 <= asked < 60
    assert answer.mode is Mode.PARTIAL_RERANK
    judged = [place for place, entry in enumerate(answer.items) if entry.llm_score is not None]
    assert judged == list(range(asked))


def test_a_limit_below_one_item_asks_nothing() -> None:
    """A token limit that fits no prompt falls back under the budget's name."""
    wired = Wired(TREATED.model_copy(update={"max_input_tokens": 200}))
    assert wired.recommend(query="wireless").reason is Reason.BUDGET
    assert wired.llm.prompts == []


def test_numpy_scalars_do_not_leak() -> None:
    """What is served is plain Python, ready for JSON."""
    answer = Wired(CONTROL).recommend()
    assert not any(isinstance(entry.candidate.score, np.generic) for entry in answer.items)
    assert all(type(item_id) is int for item_id in ids(answer))


def test_a_query_is_a_part_of_both_arms() -> None:
    """Control and treatment rank the same items, of which the best meet every word of the query."""
    control, treated = (Wired(flag).recommend(query="red audio", top_k=5, explain=True) for flag in (CONTROL, TREATED))
    for answer in (control, treated):
        assert all({"red", "audio"} <= set(entry.candidate.text.split()) for entry in answer.items[:3])
        assert "lexical" in answer.items[0].candidate.sources
        assert answer.diagnostics.query is not None
        assert answer.diagnostics.query.matches > 0


def test_two_users_with_one_query_get_different_lists_on_topic() -> None:
    """Among items that meet the query alike, the user's taste decides."""
    wired = Wired(CONTROL)
    first, second = (wired.recommend(user, query="audio", top_k=5) for user in (1, 2))
    assert ids(first) != ids(second)
    assert {entry.candidate.category for entry in (*first.items, *second.items)} == {"audio"}


def test_a_query_that_matches_nothing_falls_back_to_taste_and_says_so() -> None:
    """The list is that of the request without a query."""
    wired = Wired(CONTROL)
    answer = wired.recommend(query="zzyzx")
    assert ids(answer) == ids(wired.recommend())
    assert answer.diagnostics.query == QueryMatch(0, {}, ("zzyzx",))


def test_a_query_that_matches_nothing_buys_no_judgement_of_its_own() -> None:
    """The LLM is asked what it is asked without a query: once for the user, however many words are made up."""
    wired = Wired()
    plain = wired.recommend()
    asked = len(wired.llm.prompts)
    for made_up in ("zzyzx", "qqqquux vvvv", "\u8033\u673a"):
        answer = wired.recommend(query=made_up)
        assert ids(answer) == ids(plain)
        assert (answer.mode, answer.diagnostics.intent) == (plain.mode, plain.diagnostics.intent)
    assert len(wired.llm.prompts) == asked > 0


def test_without_an_index_every_query_is_the_llm_s_to_judge() -> None:
    """Nobody else reads it there, and nothing says that it matches nothing."""
    wired = Wired(factors=make_factors(items=200, lexical=None))
    assert wired.recommend(query="zzyzx").diagnostics.intent == "zzyzx"
    assert wired.llm.prompts


def test_without_a_query_the_index_changes_nothing() -> None:
    """The answer to a request without a query is the same with and without a published index."""
    with_index = Wired(CONTROL).recommend(top_k=50)
    without = Wired(CONTROL, factors=make_factors(items=200, lexical=None)).recommend(top_k=50)
    assert with_index.items == without.items
    assert with_index.diagnostics.query is None


def test_a_cold_user_s_query_is_met() -> None:
    """Nobody needs a history to ask for something; popularity decides among equals."""
    answer = Wired(CONTROL).recommend(424242, query="steel audio", top_k=3)
    assert all({"steel", "audio"} <= set(entry.candidate.text.split()) for entry in answer.items)
    popularity = [make_factors(items=200).popularity[entry.candidate.row] for entry in answer.items]
    assert popularity == sorted(popularity, reverse=True)
