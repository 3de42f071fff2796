"""Judging ahead of the requests, over in-memory adapters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.adapters.in_memory import InMemoryScoreCache, ManualClock, ScriptedJudge
from flagrank.domain import Reason, Usage
from flagrank.errors import LLMThrottled, MalformedAnswer, RerankError
from flagrank.flags.document import FlagDocument
from flagrank.ports import JudgementTask, ScoreRecord
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.judge import Judgement
from flagrank.rerank.records import entry_key, record_key, utc_day
from flagrank.rerank.spending import Allowance
from flagrank.rerank.warming import Warmer, WarmResult
from flagrank.timing import Deadline

FLAG = FlagDocument(enabled=True, percent=100)
TTL_S = 3600
COST = 10


@dataclass
class Recording(ScriptedJudge):
    """Judges a text by its length, remembers what it was asked, and fails as often as it is told to."""

    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    troubles: list[RerankError | None] = field(default_factory=list)
    budgets: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(len)

    def most_micro_usd(self, size: int, flag: FlagDocument) -> int:
        """What each call costs."""
        return COST

    def judge(self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline) -> Judgement:
        """The length of each text, or the next trouble."""
        self.asked.append((intent, tuple(texts.values())))
        self.budgets.append(flag.call_budget_ms)
        self.trouble = self.troubles.pop(0) if self.troubles else None
        judgement = super().judge(texts, intent, flag, deadline)
        return replace(judgement, usage=Usage(llm_calls=1, cost_micro_usd=COST))


class World:
    """A warmer and what is under it."""

    def __init__(self, *troubles: RerankError | None) -> None:
        self.clock = ManualClock()
        self.cache = InMemoryScoreCache(self.clock)
        self.judge = Recording(troubles=list(troubles))
        self.warmer = Warmer(
            self.judge, self.cache, Breaker(self.clock), self.clock, self.clock.advance, TTL_S, Allowance(self.cache)
        )

    def warm(self, task: JudgementTask, flag: FlagDocument = FLAG, seconds: float = 120) -> WarmResult:
        """The task, with so much time."""
        return self.warmer.warm(task, flag, Deadline(self.clock, self.clock.monotonic() + seconds))

    def record(self, intent: str) -> ScoreRecord | None:
        """What the cache holds for an intent."""
        return self.cache.read(key_of(intent), "").record

    def scores(self, intent: str) -> Mapping[bytes, int]:
        """The intent's scores."""
        record = self.record(intent)
        return record.scores if record else {}

    def spent(self) -> int:
        """The day's spend in micro-USD."""
        return self.cache.read("", utc_day(self.clock.now())).spent_micro_usd


def key_of(intent: str) -> str:
    return record_key(intent, FLAG.model_id, "scripted")


def task_of(intent: str, texts: Sequence[str], **values: bool) -> JudgementTask:
    return JudgementTask(intent, FLAG.model_id, "scripted", tuple(texts), **values)


def scores_of(texts: Sequence[str]) -> dict[bytes, int]:
    return {entry_key(text): len(text) for text in texts}


def test_what_is_missing_is_judged_and_written() -> None:
    """A new intent's texts are all there afterwards, and the spend is the calls'."""
    world = World()
    result = world.warm(task_of("red shoes", ["a", "bb"]))
    assert (result.written, result.known, result.missing, result.trouble) == (2, 0, 0, None)
    assert world.scores("red shoes") == scores_of(["a", "bb"])
    assert world.spent() == result.usage.cost_micro_usd == COST


def test_what_is_known_is_not_judged_again() -> None:
    """Only the texts that the record misses are asked about, and all scores are kept."""
    world = World()
    world.warm(task_of("red shoes", ["a", "bb"]))
    result = world.warm(task_of("red shoes", ["a", "bb", "ccc"]))
    assert world.judge.asked[-1] == ("red shoes", ("ccc",))
    assert (result.written, result.known) == (1, 2)
    assert world.scores("red shoes") == scores_of(["a", "bb", "ccc"])


def test_a_call_has_half_a_minute_whatever_the_flag_says() -> None:
    """The flag's budgets are a request's, and nobody waits here."""
    world = World()
    world.warm(task_of("red shoes", ["a", "bb"]), FLAG.model_copy(update={"call_budget_ms": 50}))
    assert world.judge.budgets == [30_000]


def test_a_throttled_task_waits_and_is_asked_again() -> None:
    """Trouble that passes is waited for, and each pause is longer than the one before."""
    world = World(LLMThrottled("busy"), LLMThrottled("busy"))
    began_s = world.clock.monotonic()
    result = world.warm(task_of("red shoes", ["a", "bb"]))
    assert (result.written, result.trouble, len(world.judge.asked)) == (2, None, 3)
    assert world.clock.monotonic() - began_s > 1.5
    assert world.spent() == 3 * COST


def test_a_throttled_task_ends_before_its_time_does() -> None:
    """It does not wait beyond its deadline, and says what was in the way."""
    world = World(*[LLMThrottled("busy")] * 50)
    began_s = world.clock.monotonic()
    result = world.warm(task_of("red shoes", ["a", "bb"]), seconds=60)
    assert result.trouble is not None
    assert (result.missing, result.trouble.reason) == (2, Reason.THROTTLED)
    assert world.clock.monotonic() - began_s < 60


def test_an_answer_that_cannot_be_read_is_not_asked_for_again() -> None:
    """The judge has tried twice by then; the same question would only cost more."""
    world = World(MalformedAnswer("what?"))
    result = world.warm(task_of("red shoes", ["a", "bb"]))
    assert len(world.judge.asked) == 1
    assert result.trouble is not None
    assert result.trouble.reason is Reason.PARSE


def test_a_tied_answer_is_not_remembered() -> None:
    """It is paid for, and the record stays as it was."""
    world = World()
    result = world.warm(task_of("red shoes", ["aa", "bb"]))
    assert result.trouble is not None
    assert (result.trouble.reason, result.unwritten, world.spent()) == (Reason.ALL_TIED, 2, COST)
    assert world.record("red shoes") is None


def test_the_daily_cap_holds() -> None:
    """Once it is reached nothing is asked; it is reached by what others spent as well."""
    world = World()
    world.cache.reserve_spend(utc_day(world.clock.now()), 1_000_000, 10**18)
    result = world.warm(task_of("red shoes", ["a", "bb"]), FLAG.model_copy(update={"daily_usd_cap": 1.0}))
    assert result.trouble is not None
    assert (result.trouble.reason, world.judge.asked) == (Reason.COST_CAP, [])


def test_an_unreadable_cache_asks_nobody() -> None:
    """Without the day's spend there is no limit to keep."""
    world = World()
    world.cache.broken = True
    result = world.warm(task_of("red shoes", ["a", "bb"]))
    assert result.trouble is not None
    assert (result.trouble.reason, world.judge.asked) == (Reason.CACHE, [])


def test_scores_outlive_another_writer_and_an_outage_of_the_cache() -> None:
    """What was paid for is merged into what another wrote meanwhile, and written once the cache takes it again."""
    world = World()
    write, calls = world.cache.write, iter(range(100))

    def interrupted(key: str, record: ScoreRecord) -> bool:
        call = next(calls)
        if call == 0:
            write(key, ScoreRecord(scores_of(["other", "writer"]), int(world.clock.now()) + 50))
        world.cache.broken = call == 2
        try:
            return write(key, record)
        finally:
            world.cache.broken = False

    world.cache.write = interrupted  # type: ignore[method-assign]
    result = world.warm(task_of("red shoes", ["a", "bb"]))
    assert (result.written, result.unwritten) == (2, 0)
    assert world.scores("red shoes") == scores_of(["a", "bb", "other", "writer"])
    assert len(world.judge.asked) == 1


def test_a_refresh_judges_anew_what_is_about_to_lapse() -> None:
    """All of the task's texts get new scores and a new expiry; delivered again, it asks nothing."""
    world = World()
    world.warm(task_of("red shoes", ["a", "bb", "ccc"]))
    first = world.record("red shoes")
    assert first is not None
    world.clock.advance(first.expires_at - world.clock.now() - 60)
    for _ in range(2):
        world.warm(task_of("red shoes", ["a", "bb"], refresh=True))
    second = world.record("red shoes")
    assert second is not None
    assert second.expires_at > world.clock.now() + TTL_S / 2
    # the third text's score is older than a record may become
    assert second.scores == scores_of(["a", "bb"])
    assert [texts for _, texts in world.judge.asked] == [("a", "bb", "ccc"), ("a", "bb")]


def test_a_refresh_that_fails_leaves_the_record_as_it_was() -> None:
    """What still holds goes on being served."""
    world = World(None, MalformedAnswer("what?"))
    world.warm(task_of("red shoes", ["a", "bb"]))
    before = world.record("red shoes")
    assert before is not None
    world.clock.advance(before.expires_at - world.clock.now() - 60)
    world.warm(task_of("red shoes", ["a", "bb"], refresh=True))
    assert world.record("red shoes") == before


def test_a_record_that_lapses_meanwhile_takes_no_score_with_it() -> None:
    """Scores that are written as the record lapses begin a new one."""
    world = World()
    world.warm(task_of("red shoes", ["a", "bb"]))
    before = world.record("red shoes")
    assert before is not None
    world.clock.advance(before.expires_at - world.clock.now() - 1)
    world.warm(task_of("red shoes", ["ccc", "dddd"]))
    world.clock.advance(10)
    assert world.scores("red shoes") == scores_of(["ccc", "dddd"])


@pytest.mark.parametrize(("model_id", "version"), [("other.model", "scripted"), (FLAG.model_id, "listwise-0")])
def test_a_task_for_another_model_or_wording_is_refused(model_id: str, version: str) -> None:
    """Its scores would be written where nobody asked for them."""
    world, task = World(), JudgementTask("red shoes", model_id, version, ("a", "bb"))
    assert not world.warmer.is_current(task, FLAG)
    with pytest.raises(ValueError, match="not what the flag asks for"):
        world.warm(task)


INTENTS = st.sampled_from(["red shoes", "blue shoes", "red shoes blue"])
TEXTS = st.lists(st.sampled_from(["a", "bb", "ccc", "dddd", "eeeee", "ffffff"]), min_size=2, max_size=5, unique=True)
DELIVERIES = st.lists(st.tuples(INTENTS, TEXTS), min_size=1, max_size=8).flatmap(
    lambda sent: st.permutations([*sent, *sent])
)


@settings(max_examples=200, deadline=None)
@given(deliveries=DELIVERIES)
def test_delivered_twice_and_out_of_order_nothing_is_judged_twice(deliveries: list[tuple[str, list[str]]]) -> None:
    """Each text is judged once for each intent, no intent has another's text, and no call goes uncounted."""
    world = World()
    for intent, texts in deliveries:
        world.warm(task_of(intent, texts))
    judged = [(intent, text) for intent, texts in world.judge.asked for text in texts]
    assert len(judged) == len(set(judged))
    for intent in {intent for intent, _ in deliveries}:
        wanted = {text for of, texts in deliveries if of == intent for text in texts}
        assert world.scores(intent) == scores_of(sorted(wanted))
    asked = len(world.judge.asked)
    # what is reserved for calls to come is never more than the calls that were made
    assert COST * asked <= world.spent() <= 2 * COST * asked


class Killed(BaseException):
    """The process is gone."""


@settings(max_examples=200, deadline=None)
@given(deliveries=DELIVERIES, kills=st.lists(st.integers(0, 60), max_size=6))
def test_killed_at_any_moment_no_written_score_is_judged_again(
    deliveries: list[tuple[str, list[str]]], kills: list[int]
) -> None:
    """Whenever the process ends, redelivery completes the intents, and what was asked for is counted, or more."""
    world = World()
    steps, doomed = iter(range(10_000)), set(kills)
    written: set[tuple[str, bytes]] = set()

    def step() -> None:
        if next(steps) in doomed:
            # what it had reserved goes with it
            world.warmer = replace(world.warmer, allowance=Allowance(world.cache))
            raise Killed

    for name in ("read", "write", "reserve_spend"):
        whole = getattr(world.cache, name)

        def risky(*args: object, whole: object = whole) -> object:
            step()
            return whole(*args)  # type: ignore[operator]

        setattr(world.cache, name, risky)
    for intent, texts in deliveries:
        for _ in range(len(kills) + 1):
            asked = len(world.judge.asked)
            try:
                world.warm(task_of(intent, texts))
            except Killed:
                continue
            finally:
                for of, judged in world.judge.asked[asked:]:
                    assert not {(of, entry_key(text)) for text in judged} & written
                held = world.cache._records.get(key_of(intent))
                written |= {(intent, entry) for entry in (held.scores if held else ())}
            break
    doomed.clear()
    for intent in {intent for intent, _ in deliveries}:
        wanted = {text for of, texts in deliveries if of == intent for text in texts}
        assert world.scores(intent) == scores_of(sorted(wanted))
    assert world.spent() >= COST * len(world.judge.asked)
