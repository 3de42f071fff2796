"""The guard, operators and AppConfig's monitor at the same time: exposure is never raised against anybody's will."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from flagrank.adapters.control.appconfig_deployments import Patience
from flagrank.adapters.control.appconfig_rollout import BAKE, INSTANT, AppConfigRolloutControl
from flagrank.adapters.control.cloudwatch_alarms import AlarmActions
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.alarm import Alarm
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import Deployment
from flagrank.delivery.guard import respond
from flagrank.errors import CloudError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure
from flagrank.local.appconfig_deployments import Pace
from flagrank.local.rest_json import bad_request
from tests.adapters.control.in_process import MONITOR, NOTHING, InProcessAppConfig, InProcessClient, document_of
from tests.unit.delivery.guard_story import BEGAN, OFF, alarm, at, on

# two hundred random sequences each time, and another thousand with `-m rollout`
SEQUENCES = [
    pytest.param(range(200), id="200"),
    pytest.param(range(200, 1200), id="1000", marks=pytest.mark.slow),
]
pytestmark = [pytest.mark.rollout, pytest.mark.parametrize("seeds", SEQUENCES)]

RAMP = (1.0, 5.0, 25.0, 50.0, 100.0)
UNREADABLE = b'{"enabled": true, "percent": 12.345}'
GUARD, OPERATOR, APPCONFIG = "guard", "operator", "AppConfig's monitor"
# of the clock, on which a minute of a strategy lasts a second: a deployment is in flight for one, a rise for five
PATIENCE_S = 40.0


@dataclass(frozen=True)
class Served:
    """A change of what is served: by whom, and the documents before and after."""

    who: str
    before: FlagDocument
    after: FlagDocument


@dataclass
class Account:
    """A flag in AppConfig, whose calls others interrupt, and every change of what is served."""

    dice: random.Random
    clock: ManualClock = field(default_factory=lambda: ManualClock(BEGAN.timestamp()))
    changes: list[Served] = field(default_factory=list)
    conflicts: int = 0
    content: bytes = NOTHING
    serving: FlagDocument = OFF
    is_busy: bool = False
    is_unseen: bool = False

    def __post_init__(self) -> None:
        self.appconfig = InProcessAppConfig(self.clock, Pace(minute_s=1.0, rollback_s=self.dice.choice((0.0, 2.0))))
        self.instant = self.appconfig.strategy(INSTANT, 1, 0)
        self.baking = self.appconfig.strategy(BAKE, 0, 5)
        self.endless = self.appconfig.strategy("endless", 0, 1e6)

    def client(self, who: str) -> InProcessClient:
        return InProcessClient(self.appconfig, lambda operation, act: self.call(who, operation, act))

    def call(self, who: str, operation: str, act: Callable[[], Any]) -> Any:
        if self.is_busy:
            time.sleep(self.dice.choice((0, 1e-5, 1e-4)))
        with self.appconfig.lock:
            if not self.is_unseen:
                self.appconfig.look()
                self.observe(APPCONFIG)
            failure = self.dice.choice(("", "", "", "refused", "lost")) if operation == "stop_deployment" else ""
            try:
                if self.is_busy and failure == "refused":
                    raise bad_request("cannot be stopped")
                return act()
            except Exception:
                self.conflicts += 1
                raise
            finally:
                self.observe(who)
                if self.is_busy and failure == "lost":
                    raise EndpointConnectionError(endpoint_url="appconfig")

    def observe(self, who: str) -> None:
        content = self.appconfig.served()
        if content != self.content:
            after = document_of(content, self.serving)
            self.changes.append(Served(who, self.serving, after))
            self.content, self.serving = content, after

    def control(self, who: str) -> "Momentary":
        client, strategy = self.client(who), self.instant if who == GUARD else None
        monitor = AlarmActions(client, MONITOR, tolerant=who == OPERATOR)
        patience = Patience(PATIENCE_S, clock=self.clock, sleep=self.sleep)
        control = Momentary(client, self.appconfig.ids, patience, strategy=strategy, monitor=monitor)
        control.account = self
        return control

    @contextlib.contextmanager
    def unseen(self) -> Iterator[None]:
        """A moment in which nobody else acts, and AppConfig does not look at its monitor."""
        with self.appconfig.lock:
            self.is_unseen = True
            try:
                yield
            finally:
                self.is_unseen = False

    def sleep(self, seconds: float) -> None:
        with self.appconfig.lock:
            self.clock.advance(seconds)

    def start(self, content: bytes, strategy: str) -> None:
        """A deployment past Flagrank; refused while another one is in flight."""
        client, ids = self.client(OPERATOR), self.appconfig.ids
        version = client.create_hosted_configuration_version(
            **ids.of_profile, Content=content, ContentType="application/json"
        )["VersionNumber"]
        client.start_deployment(
            **ids.of_environment,
            ConfigurationProfileId=ids.profile,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=strategy,
        )

    def minutes(self) -> float:
        return (self.clock.now() - BEGAN.timestamp()) / 60

    def move_to(self, minutes: float) -> None:
        self.clock.advance(at(minutes).timestamp() - self.clock.now())

    def set_firing(self, firing: bool) -> None:
        self.appconfig.state.monitor = replace(self.appconfig.state.monitor, firing=firing)


class Momentary(AppConfigRolloutControl):
    """A control whose critical moments AppConfig does not look into, since it does not look that often.

    These are the moments from the start of a deployment until the monitor's actions are disabled once more, and from
    enabling them until the second look.
    """

    account: Account

    def _start(self, *arguments: Any) -> Deployment:
        with self.account.unseen():
            return super()._start(*arguments)

    def rearm(self) -> None:
        with self.account.unseen():
            super().rearm()


def test_exposure_never_rises_under_any_sequence_of_alarms(seeds: range) -> None:
    """Events are duplicated, reordered and concurrent, AppConfig's monitor may fire, and rollbacks take their time or
    fail: what is served treats no more users than what was served before, and any alarm lowers it."""
    conflicts, rolled_back = 0, 0
    with ThreadPoolExecutor(4) as threads:
        for seed in seeds:
            dice = random.Random(seed)
            account = climbed(dice)
            began, began_with = len(account.changes), account.serving
            events = shuffled_events(dice, account.minutes())
            is_due = any(event.state.value == "ALARM" for event in events)
            account.move_to(account.minutes() + 31)
            account.is_busy = True
            account.set_firing(is_due and dice.random() < 0.5)
            list(threads.map(delivered, events, [account] * len(events)))
            account.sleep(60)
            account.control(GUARD).rearm()
            changes = account.changes[began:]
            assert all(exposure(change.after) <= exposure(change.before) for change in changes), f"seed {seed}"
            assert (exposure(account.serving) < exposure(began_with)) == is_due, f"seed {seed}"
            assert account.appconfig.state.monitor.actions, f"seed {seed}"
            conflicts += account.conflicts
            rolled_back += sum(change.who == APPCONFIG for change in changes)
    # otherwise nothing was concurrent, or the monitor did nothing
    assert min(conflicts, rolled_back) > len(seeds) / 10


def test_operators_at_the_same_time_are_never_overruled_upwards(seeds: range) -> None:
    """While operators raise, lower and switch off, each change by the guard treats no more users than what was served,
    and AppConfig's monitor rolls back rises only: nobody enables it against a lowering."""
    changes: list[Served] = []
    with ThreadPoolExecutor(6) as threads:
        for seed in seeds:
            dice = random.Random(seed)
            account = climbed(dice)
            account.is_busy = True
            account.set_firing(dice.random() < 0.5)
            began = len(account.changes)
            alarms = [alarm(account.minutes() + dice.uniform(-30, 60)) for _ in range(3)]
            futures = [threads.submit(attempted, event, account) for event in alarms]
            futures += [threads.submit(operate, account, random.Random(place)) for place in dice.sample(range(1000), 3)]
            for future in futures:
                future.result()
            changes += [change for change in account.changes[began:] if change.who != OPERATOR]
    lowered, rolled_back = (sum(change.who == who for change in changes) for who in (GUARD, APPCONFIG))
    assert min(lowered, rolled_back) > len(seeds) / 10
    assert all(exposure(change.after) <= exposure(change.before) for change in changes)


def delivered(event: Alarm, account: Account) -> None:
    """As Lambda delivers an event: again after a failure, and the monitor is enabled after each attempt."""
    for _ in range(20):
        try:
            attempt(event, account)
        except (RolloutRefused, CloudError):
            account.sleep(60)
        else:
            return


def attempted(event: Alarm, account: Account) -> None:
    """One delivery, whatever becomes of it."""
    with contextlib.suppress(RolloutRefused, CloudError):
        attempt(event, account)


def attempt(event: Alarm, account: Account) -> None:
    """What the guard's function does."""
    control = account.control(GUARD)
    try:
        respond(event, control)
    finally:
        control.rearm()


def operate(account: Account, dice: random.Random) -> None:
    """An operator's change; some put a document there without Flagrank that no release can read."""
    document = on(dice.choice(RAMP)).model_copy(update={"enabled": dice.random() < 0.7})
    account.sleep(60 * dice.uniform(0, 30))
    with contextlib.suppress(RolloutRefused, CloudError, *InProcessClient.exceptions.__dict__.values()):
        if dice.random() < 0.1:
            account.start(UNREADABLE, account.baking)
        else:
            account.control(OPERATOR).deploy(document, ChangeRecord("me", "test"))


def climbed(dice: random.Random) -> Account:
    """A flag somewhere on its way up, whose last step may be in flight."""
    account = Account(dice)
    steps, step_minutes = RAMP[: dice.randint(1, len(RAMP))], dice.choice((1, 20))
    for place, percent in enumerate(steps):
        account.move_to(20 * len(steps) if place == len(steps) - 1 else place * step_minutes)
        is_in_flight = place == len(steps) - 1 and dice.random() < 0.5
        account.start(on(percent).model_dump_json().encode(), account.endless if is_in_flight else account.instant)
    account.clock.advance(1)
    return account


def shuffled_events(dice: random.Random, minutes: float) -> list[Alarm]:
    """Changes of two alarms around a moment, some of them more than once, in any order."""
    states = ("ALARM", "ALARM", "OK")
    changes = [
        alarm(minutes + dice.uniform(-30, 30), dice.choice(states), dice.choice("ab"))
        for _ in range(dice.randint(1, 4))
    ]
    return dice.choices(changes, k=dice.randint(1, 8))
