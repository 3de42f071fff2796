"""AppConfig goes away in the middle of a ramp, for ten minutes on a clock that is ours."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from flagrank.adapters.appconfig_flags import AppConfigFlagSource
from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.adapters.in_memory import (
    InMemoryFactorStore,
    InMemoryJudgementQueue,
    InMemoryMetrics,
    InMemoryScoreCache,
    ManualClock,
    ScriptedLLM,
)
from flagrank.bootstrap import Adapters, Models, wire
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.measures import SLOWER
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.observation import Observation
from flagrank.delivery.plan import RampPlan
from flagrank.delivery.ramp import Ramp
from flagrank.delivery.ramp_report import Ending
from flagrank.domain import Arm, Reason, Recommendation, RecommendRequest
from flagrank.flags.assignment import decide
from flagrank.flags.document import FLAG_POLL_S, FlagDocument
from flagrank.local.appconfig import create_app
from flagrank.local.seed import create_flag_profile
from flagrank.metric_names import MetricName
from flagrank.settings import Settings
from tests.adapters.loopback import client
from tests.factories import make_factors
from tests.local.conftest import served
from tests.wiring import ENVIRONMENT, by_item_number

pytestmark = pytest.mark.rollout

ENVIRONMENTS = 8
USERS = range(1, 41)
OUTAGE_S = 600
RAMPING = FlagDocument(enabled=True, percent=25, alpha=0.5)


@dataclass
class Account:
    """AppConfig's stand-in, which can be taken down and up, and function environments that read their flag from it."""

    clock: ManualClock = field(default_factory=ManualClock)
    stack: ExitStack = field(default_factory=ExitStack)
    is_down: bool = False

    def __post_init__(self) -> None:
        self.app = create_app(self.clock)
        self.url = self.stack.enter_context(served(self.app))
        appconfig = client("appconfig", self.url)
        create_flag_profile(appconfig, "flagrank", "test", "rerank")
        self.control = AppConfigRolloutControl.named(appconfig, "flagrank", "test", "rerank")

    def take_down(self) -> None:
        """From now on connections are refused."""
        self.stack.close()
        self.is_down = True

    def bring_up(self) -> None:
        """The same account at the same address again."""
        self.stack.enter_context(served(self.app, int(self.url.rpartition(":")[2])))
        self.is_down = False

    def environment(self) -> "Environment":
        """A new execution environment, with its own flag session, cache and metrics."""
        return Environment(self.url, self.clock)


class Environment:
    """One service over its own adapters."""

    def __init__(self, url: str, clock: ManualClock) -> None:
        data = client("appconfigdata", url)
        flags = AppConfigFlagSource(data, application="flagrank", environment="test", profile="rerank", clock=clock)
        self.metrics = InMemoryMetrics()
        store, cache = InMemoryFactorStore(make_factors(items=60)), InMemoryScoreCache(clock)
        settings = Settings.from_env(ENVIRONMENT)
        llm, queue = ScriptedLLM(by_item_number), InMemoryJudgementQueue()
        self._service = wire(settings, Adapters(store, flags, cache, Models(llm), queue, self.metrics), clock)

    def recommend(self, user: int) -> Recommendation:
        """One request."""
        return self._service.recommend(RecommendRequest(user, query="wireless"))

    def arms(self) -> list[Arm]:
        """Which arm serves each user."""
        return [self.recommend(user).arm for user in USERS]


@pytest.fixture
def account() -> Iterator[Account]:
    made = Account()
    with made.stack:
        yield made


def test_ten_minutes_without_appconfig_change_nobody_s_arm(account: Account) -> None:
    """Every environment keeps its last-known-good arms and counts that they are stale; a fresh one is off."""
    account.control.deploy(RAMPING, ChangeRecord("test", "percent 25"))
    environments = [account.environment() for _ in range(ENVIRONMENTS)]
    before, *others = (environment.arms() for environment in environments)
    assert {*before} == {Arm.TREATMENT, Arm.CONTROL}
    assert others == [before] * (ENVIRONMENTS - 1)
    account.take_down()
    for second in range(10, OUTAGE_S + 1, 10):
        account.clock.advance(10)
        user = second // 10 % len(USERS)
        for environment in environments:
            answer = environment.recommend(USERS[user])
            assert answer.arm is before[user]
            assert answer.diagnostics.flag_stale == (second > 2 * FLAG_POLL_S)
    assert all(environment.arms() == before for environment in environments)
    counted = [sum(values[MetricName.FLAG_STALE] for _, values, _ in made.metrics.records) for made in environments]
    asked_stale = OUTAGE_S / 10 - 2 * FLAG_POLL_S / 10
    assert counted == [asked_stale + len(USERS)] * ENVIRONMENTS
    fresh = account.environment()
    assert {*fresh.arms()} == {Arm.CONTROL}
    assert fresh.recommend(1).reason is Reason.NOT_CONFIGURED


def test_a_fresh_environment_without_any_document_is_off(account: Account) -> None:
    """Nothing was ever deployed: everybody is in control, until the first document arrives."""
    environment = account.environment()
    assert {*environment.arms()} == {Arm.CONTROL}
    account.control.deploy(RAMPING, ChangeRecord("test", "first document"))
    account.clock.advance(FLAG_POLL_S + 1)
    assert {*environment.arms()} == {Arm.TREATMENT, Arm.CONTROL}


@dataclass
class Day:
    """Traffic on eight environments while a ramp waits, and AppConfig's ten minutes of absence in the midst of a step.

    A request here stands for a thousand, none of which goes wrong.
    """

    account: Account
    answers: list[tuple[float, Recommendation]] = field(default_factory=list)
    outage_s: tuple[float, float] = (math.inf, math.inf)

    def __post_init__(self) -> None:
        self.environments = [self.account.environment() for _ in range(ENVIRONMENTS)]

    def wait(self, seconds: float) -> None:
        """A request to every environment each ten seconds."""
        end_s = self.account.clock.now() + seconds
        while self.account.clock.now() < end_s:
            self.account.clock.advance(min(10, end_s - self.account.clock.now()))
            self._come_and_go(self.account.clock.now())
            for environment in self.environments:
                user = USERS[len(self.answers) % len(USERS)]
                self.answers.append((self.account.clock.now(), environment.recommend(user)))

    def read(self, since_s: float, until_s: float) -> Arms:
        """See CountsSource."""
        seen = [answer.arm for at_s, answer in self.answers if since_s <= at_s < until_s]
        return Arms(*(healthy(1000 * seen.count(arm)) for arm in (Arm.TREATMENT, Arm.CONTROL)))

    def _come_and_go(self, now_s: float) -> None:
        is_due = self.outage_s[0] <= now_s < self.outage_s[1]
        if is_due and not self.account.is_down:
            self.account.take_down()
        elif self.account.is_down and not is_due:
            self.account.bring_up()


def healthy(requests: int) -> ArmCounts:
    """So many requests of which none went wrong."""
    slower = SLOWER.by_name(requests * (rung < 100) for rung in SLOWER.rungs)
    return ArmCounts(requests=requests, attempted=requests, **slower)


def test_a_ramp_in_progress_outlives_the_outage(account: Account) -> None:
    """It is at 25 percent when AppConfig goes away, moves nobody meanwhile, and goes on by itself afterwards."""
    account.control.deploy(RAMPING.model_copy(update={"enabled": False}), ChangeRecord("test", "first document"))
    day = Day(account)
    events: list[Observation | str] = []

    def on_event(event: Observation | str) -> None:
        events.append(event)
        if isinstance(event, str) and event.startswith("25 %: "):
            begins_s = account.clock.now() + 2 * FLAG_POLL_S
            day.outage_s = (begins_s, begins_s + OUTAGE_S)

    plan = RampPlan((10, 25, 50), bake_s=120, observe_every_s=30, patience_s=3600, shadow=False)
    report = Ramp(plan, account.control, day, account.clock, day.wait, "test", "outage", on_event).run()
    assert report.ending is Ending.DONE, report.sentence
    changes = [account.control.document(entry.version) for entry in account.control.history(9)]
    assert [document.percent for document in changes if document.enabled] == [50, 25, 10]
    unknown = [event for event in events if isinstance(event, str) and "25 % cannot be observed now" in event]
    assert len(unknown) >= OUTAGE_S / plan.observe_every_s - 1
    meanwhile = [answer for at_s, answer in day.answers if day.outage_s[0] <= at_s < day.outage_s[1]]
    assert len(meanwhile) >= ENVIRONMENTS * (OUTAGE_S / 10 - 1)
    assert all(answer.arm is decide(RAMPING, answer.user_id).arm for answer in meanwhile)
    assert {answer.arm for answer in meanwhile} == {Arm.TREATMENT, Arm.CONTROL}
    stale = [answer.diagnostics.flag_stale for answer in meanwhile]
    assert 0.9 < sum(stale) / len(stale) < 1
    assert not any(answer.diagnostics.flag_stale for _, answer in day.answers[-ENVIRONMENTS:])
