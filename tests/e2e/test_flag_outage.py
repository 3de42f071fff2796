"""AppConfig goes away in the middle of a ramp, for ten minutes on a clock that is ours."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from flagrank.adapters.appconfig_control import FlagControl
from flagrank.adapters.appconfig_flags import AppConfigFlagSource
from flagrank.adapters.in_memory import (
    InMemoryFactorStore,
    InMemoryMetrics,
    InMemoryScoreCache,
    ManualClock,
    ScriptedLLM,
)
from flagrank.bootstrap import wire
from flagrank.domain import Arm, Reason, Recommendation, RecommendQuery
from flagrank.local.appconfig import create_app
from flagrank.local.seed import create_flag_profile
from flagrank.metrics import Metric
from flagrank.rollout import FLAG_POLL_S, FlagDocument
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
    """AppConfig's stand-in, which can be taken down, and function environments that read their flag from it."""

    clock: ManualClock = field(default_factory=ManualClock)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.url = self.stack.enter_context(served(create_app(self.clock)))
        appconfig = client("appconfig", self.url)
        create_flag_profile(appconfig, "flagrank", "test", "rerank")
        self.control = FlagControl(appconfig, "flagrank", "test", "rerank")

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
        self._service = wire(settings, store, flags, cache, ScriptedLLM(by_item_number), self.metrics, clock)

    def recommend(self, user: int) -> Recommendation:
        """One request."""
        return self._service.recommend(RecommendQuery(user, query="wireless"))

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
    account.control.deploy(RAMPING, actor="test", reason="percent 25")
    environments = [account.environment() for _ in range(ENVIRONMENTS)]
    before, *others = (environment.arms() for environment in environments)
    assert {*before} == {Arm.TREATMENT, Arm.CONTROL}
    assert others == [before] * (ENVIRONMENTS - 1)
    account.stack.close()
    for second in range(10, OUTAGE_S + 1, 10):
        account.clock.advance(10)
        user = second // 10 % len(USERS)
        for environment in environments:
            answer = environment.recommend(USERS[user])
            assert answer.arm is before[user]
            assert answer.diagnostics.flag_stale == (second > 2 * FLAG_POLL_S)
    assert all(environment.arms() == before for environment in environments)
    counted = [sum(values[Metric.FLAG_STALE] for _, values, _ in made.metrics.records) for made in environments]
    asked_stale = OUTAGE_S / 10 - 2 * FLAG_POLL_S / 10
    assert counted == [asked_stale + len(USERS)] * ENVIRONMENTS
    fresh = account.environment()
    assert {*fresh.arms()} == {Arm.CONTROL}
    assert fresh.recommend(1).reason is Reason.NOT_CONFIGURED


def test_a_fresh_environment_without_any_document_is_off(account: Account) -> None:
    """Nothing was ever deployed: everybody is in control, until the first document arrives."""
    environment = account.environment()
    assert {*environment.arms()} == {Arm.CONTROL}
    account.control.deploy(RAMPING, actor="test", reason="first document")
    account.clock.advance(FLAG_POLL_S + 1)
    assert {*environment.arms()} == {Arm.TREATMENT, Arm.CONTROL}
