"""A ramp over an in-memory flag and a manual clock, with counts of both arms that the test chooses."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.measures import SLOWER
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import UNDONE, DeployedFlag, Deployment
from flagrank.delivery.observation import Observation
from flagrank.delivery.plan import RampPlan
from flagrank.delivery.ramp import Ramp
from flagrank.delivery.ramp_report import Ending, RampReport
from flagrank.errors import CloudError, ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import treated_percent

PLAN = RampPlan((1, 5, 25, 50, 100), bake_s=600, observe_every_s=150, patience_s=1800, shadow=False)
REQUESTS_A_SECOND = 500
OFF = FlagDocument(percent=25)


def arm(requests: float, *, fallbacks: float = 0.0, attempted: bool = True) -> ArmCounts:
    """The counts of an arm in which everything else is well."""
    count = int(requests)
    return ArmCounts(
        requests=count,
        attempted=count * attempted,
        fallbacks=int(count * fallbacks),
        **SLOWER.by_name(count if rung < 100 else 0 for rung in SLOWER.rungs),
        cost_micro_usd=100 * count * attempted,
        cost_micro_usd_squared=100**2 * count * attempted,
    )


@dataclass
class Traffic:
    """Steady traffic on the flag as it was at each moment; `fallbacks` by percentage of users treated."""

    control: InMemoryControl
    clock: ManualClock
    fallbacks: Callable[[float], float] = lambda percent: 0.01
    silent: bool = False
    down: Callable[[], bool] = lambda: False

    def read(self, since_s: float, until_s: float) -> Arms:
        if self.down():
            raise CloudError("no answer")
        if self.silent:
            return Arms()
        treated = fell_back = 0.0
        ends_s = until_s
        for entry in self.control.history(99):
            document = self.control.document(entry.version)
            if entry.state not in UNDONE:
                here = (
                    REQUESTS_A_SECOND
                    * max(0.0, ends_s - max(since_s, entry.started_at_s))
                    * treated_percent(document)
                    / 100
                )
                treated, fell_back = treated + here, fell_back + here * self.fallbacks(document.percent)
                ends_s = min(ends_s, entry.started_at_s)
        requests = REQUESTS_A_SECOND * (until_s - since_s)
        fallbacks = fell_back / treated if treated else 0.0
        return Arms(arm(treated, fallbacks=fallbacks), arm(requests - treated, attempted=False))


@dataclass
class World:
    """A flag with its traffic, and the events of its ramps."""

    document: FlagDocument | None = field(default_factory=FlagDocument)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.control = InMemoryControl(self.clock, self.document)
        self.traffic = Traffic(self.control, self.clock)
        self.events: list[Observation | str] = []
        self.propagation_s = 15.0
        self.alarm: str | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.taken_over_by: str | None = None

    def ramp(self, plan: RampPlan = PLAN) -> RampReport:
        def wait(seconds: float) -> None:
            self.clock.advance(seconds)
            self.meanwhile()

        ports = self.control, self.traffic, self.clock, wait
        told = self.events.append, lambda: self.alarm, self.propagation_s, lambda: self.taken_over_by
        return Ramp(plan, *ports, "me", "test", *told).run()

    def percents(self) -> list[float]:
        """The percentage of every deployment but the first document's."""
        documents = [self.control.document(entry.version) for entry in reversed(self.control.history(99))]
        return [document.percent if document.enabled else 0.0 for document in documents[1:]]

    def messages(self, words: str) -> int:
        """How many messages contained these words."""
        return sum(words in event for event in self.events if isinstance(event, str))

    def in_force(self) -> FlagDocument:
        document = self.control.deployed().document
        assert document is not None
        return document


def test_a_healthy_ramp_reaches_the_top_by_itself() -> None:
    """It bakes each step, and leaves everything else in the document as it is."""
    world = World(FlagDocument(alpha=0.25))
    start_s = world.clock.now()
    report = world.ramp()
    assert report.ending is Ending.DONE
    assert world.percents() == [1, 5, 25, 50, 100]
    assert world.in_force() == FlagDocument(enabled=True, percent=100, alpha=0.25)
    assert world.clock.now() - start_s >= 5 * PLAN.bake_s


def test_a_ramp_begins_in_shadow() -> None:
    """The first step asks the LLM and serves the baseline. A flag that serves already needs no such step."""
    world = World()
    assert world.ramp(replace(PLAN, shadow=True)).ending is Ending.DONE
    documents = [world.control.document(entry.version) for entry in reversed(world.control.history(99))]
    assert [(entry.mode, entry.percent) for entry in documents[1:4]] == [("shadow", 1), ("serve", 1), ("serve", 5)]
    serving = World(FlagDocument(enabled=True, percent=5))
    serving.ramp(replace(PLAN, shadow=True))
    assert {entry.record.change for entry in serving.control.history(3)} == {"ramp 25 %", "ramp 50 %", "ramp 100 %"}


@pytest.mark.parametrize("percent", PLAN.percents)
def test_a_fault_switches_the_flag_off_at_its_step(percent: float) -> None:
    """Whichever step it is. Report and record name the figure, and the report how many requests were exposed."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6 if treated >= percent else 0.01
    report = world.ramp()
    assert report.ending is Ending.FAILED
    assert "fallbacks" in report.sentence
    assert report.exposed is not None
    assert str(report.exposed) in report.sentence
    assert not world.in_force().enabled
    newest = world.control.history(1)[0]
    assert newest.record.summary.startswith(f"off, ramp {percent:g} % (fallbacks")


def kill_at(world: World, percent: float) -> None:
    """A ramp that is killed when it first observes a percentage."""

    def killing() -> None:
        if world.in_force().percent == percent:
            raise KeyboardInterrupt

    world.meanwhile = killing
    with pytest.raises(KeyboardInterrupt):
        world.ramp()
    world.meanwhile = lambda: None


def test_a_ramp_that_was_killed_goes_on_where_it_was() -> None:
    """The same command finds the step in force, and bakes it once more however long it has been in force."""
    world = World()
    kill_at(world, 25)
    world.clock.advance(3 * PLAN.bake_s)
    resumed_s = world.clock.now()
    assert world.ramp().ending is Ending.DONE
    assert world.percents() == [1, 5, 25, 50, 100]
    at_50 = world.control.history(2)[1].started_at_s
    assert PLAN.bake_s <= at_50 - resumed_s <= PLAN.bake_s + PLAN.observe_every_s


def test_a_resumed_ramp_is_judged_by_what_happens_now() -> None:
    """Three good days do not outweigh twenty bad minutes."""
    world = World()
    kill_at(world, 25)
    world.clock.advance(3 * 86_400)
    bad_from_s = world.clock.now() - 1200

    def read(since_s: float, until_s: float) -> Arms:
        good, bad = max(bad_from_s - since_s, 0), until_s - max(bad_from_s, since_s)
        treated = REQUESTS_A_SECOND / 4
        arms = arm(treated * (good + bad), fallbacks=0.5 * bad / (good + bad)), arm(3 * treated * (good + bad))
        return Arms(*arms)

    world.traffic.read = read  # type: ignore[method-assign]
    report = world.ramp()
    assert report.ending is Ending.FAILED
    assert world.percents() == [1, 5, 25, 0]


def test_patience_begins_when_the_ramp_begins() -> None:
    """A ramp that is resumed late still has patience for a short outage."""
    world = World()
    kill_at(world, 25)
    world.clock.advance(2 * PLAN.patience_s)
    resumed_s = world.clock.now()
    world.traffic.down = lambda: world.clock.now() < resumed_s + 300
    assert world.ramp().ending is Ending.DONE


def test_a_ramp_begins_at_a_percentage_between_its_steps() -> None:
    """From 8 percent the next step is 25. Above the last step the ramp is refused."""
    world = World(FlagDocument(enabled=True, percent=8))
    world.ramp()
    assert world.percents() == [25, 50, 100]
    with pytest.raises(RolloutRefused, match="100 % are treated already"):
        world.ramp(replace(PLAN, percents=(1, 5)))


def test_an_operator_is_never_overwritten() -> None:
    """A change by somebody else ends the ramp, and the report says who changed what."""
    world = World()

    def overtake() -> None:
        if world.in_force().percent == 5:
            world.control.deploy(FlagDocument(enabled=True, percent=2), ChangeRecord("night-shift", "percent 2 (slow)"))

    world.meanwhile = overtake
    report = world.ramp()
    assert report.ending is Ending.OVERTAKEN
    assert "night-shift changed the flag: percent 2 (slow)" in report.sentence
    assert world.in_force().percent == 2


def test_a_ramp_that_is_taken_over_ends_before_its_next_step() -> None:
    """Its step stays in force for whoever took over."""
    world = World()

    def take_over() -> None:
        if world.in_force().percent == 5:
            world.taken_over_by = "night-shift"

    world.meanwhile = take_over
    report = world.ramp()
    assert report.ending is Ending.OVERTAKEN
    assert "night-shift took over; 5 % is left in force" in report.sentence
    assert world.in_force().percent == 5


def test_an_operator_between_an_observation_and_the_next_step_is_not_overwritten() -> None:
    """AppConfig's own check refuses the step."""
    world = World()
    reads = iter(range(99))
    seen = world.control.deployed

    def stale() -> DeployedFlag:
        deployed = seen()
        if next(reads) == 1:
            world.control.deploy(FlagDocument(), ChangeRecord("night-shift", "off"))
        return deployed

    world.control.deployed = stale  # type: ignore[method-assign]
    world.propagation_s = 0.0
    report = world.ramp(replace(PLAN, bake_s=0))
    assert report.ending is Ending.OVERTAKEN
    assert not world.in_force().enabled


def test_a_step_without_a_verdict_is_left_as_it_is() -> None:
    """Without data the ramp goes neither up nor down, and the report says what is missing."""
    world = World()
    world.traffic.silent = True
    report = world.ramp()
    assert report.ending is Ending.HELD
    assert "no data" in report.sentence
    assert world.in_force() == FlagDocument(enabled=True, percent=1)


def test_no_step_passes_while_an_alarm_fires() -> None:
    """Even with a verdict that passes."""
    world = World()
    world.alarm = "RerankUnhealthy"
    report = world.ramp()
    assert report.ending is Ending.HELD
    assert "RerankUnhealthy" in report.sentence
    assert world.percents() == [1]


def test_an_outage_of_the_figures_is_no_verdict() -> None:
    """The ramp tries again, and goes on when the figures are back."""
    world = World()
    start_s = world.clock.now()
    world.traffic.down = lambda: 100 <= world.clock.now() - start_s < 1000
    assert world.ramp().ending is Ending.DONE
    assert world.messages("cannot be observed now, trying again: no answer") > 0


def test_an_outage_that_outlasts_the_patience_ends_the_ramp() -> None:
    """The step stays in force."""
    world = World()
    world.traffic.down = lambda: True
    assert world.ramp().ending is Ending.HELD
    assert world.percents() == [1]


@dataclass
class Hindrance:
    """Makes the ramp's first attempts to deploy raise an error; with `lost` the deployment is made all the same."""

    world: World
    error: Exception
    hinders: Callable[[dict[str, object]], bool]
    times: int = 3
    lost: bool = False
    state: str = "COMPLETE"

    def __post_init__(self) -> None:
        control = self.world.control
        deploy, redeploy = control.deploy, control.redeploy
        control.deploy = partial(self.hinder, deploy)  # type: ignore[method-assign]
        control.redeploy = partial(self.hinder, redeploy, urgent=True)  # type: ignore[method-assign]

    def hinder(
        self, deploy: Callable[..., Deployment], what: FlagDocument | str, record: ChangeRecord, **options: Any
    ) -> Deployment:
        document = what if isinstance(what, FlagDocument) else self.world.control.document(what)
        hindered = self.hinders({"percent": document.percent, **options}) and self.times > 0
        if hindered:
            self.times -= 1
        if hindered and not self.lost:
            raise self.error
        if isinstance(what, str):
            options.pop("urgent")
        deployment = deploy(what, record, **options)
        if hindered:
            self.world.control.become(self.state)
            raise self.error
        return deployment


NO_ANSWER = CloudError("no answer")
UNDONE_AT_ONCE = RolloutRefused("deployment was undone at once: does an alarm fire?")


def switching_off(options: dict[str, object]) -> bool:
    return options.get("urgent") is True


@pytest.mark.parametrize(
    ("error", "lost", "state"),
    [
        (NO_ANSWER, False, "COMPLETE"),
        (RolloutRefused("somebody is changing the flag just now"), False, "COMPLETE"),
        (UNDONE_AT_ONCE, True, "ROLLED_BACK"),
        (NO_ANSWER, True, "ROLLED_BACK"),
    ],
)
def test_a_failing_step_is_switched_off_despite_errors(error: Exception, lost: bool, state: str) -> None:
    """After an outage, a refusal or an alarm that undoes it, the ramp tries again until nobody is treated."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, error, switching_off, lost=lost, state=state)
    assert world.ramp().ending is Ending.FAILED
    assert not world.in_force().enabled
    assert world.messages("cannot be switched off yet") == 3


def test_a_switch_off_that_is_undone_repeatedly_makes_one_version() -> None:
    """A profile holds a limited number of versions, and reaching the limit must not keep the failing step in force."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, UNDONE_AT_ONCE, switching_off, times=40, lost=True, state="ROLLED_BACK")
    assert world.ramp().ending is Ending.FAILED
    assert world.control.history(1)[0].version == "3"


def test_a_switch_off_whose_answer_was_lost_is_not_repeated() -> None:
    """The ramp finds its own deployment, and does not take it for somebody else's."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, NO_ANSWER, switching_off, lost=True)
    assert world.ramp().ending is Ending.FAILED
    assert world.percents() == [1, 0]


def test_a_switch_off_that_is_still_in_flight_is_awaited() -> None:
    """Stopping it would bring the failing step back."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, RolloutRefused("still not done after 20 s"), switching_off, lost=True, state="DEPLOYING")
    waits = iter(range(99))

    def completing() -> None:
        if not world.in_force().enabled and next(waits) == 4:
            world.control.become("COMPLETE")

    world.meanwhile = completing
    assert world.ramp().ending is Ending.FAILED
    assert world.percents() == [1, 0]
    assert world.messages("AppConfig is still at work") == 0
    assert world.messages("still not done") == 4


def test_a_switch_off_does_not_overwrite_somebody_else_s_change() -> None:
    """The report says who was first, and that the step fails."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    night_shift = InMemoryControl.deploy

    def first(document: FlagDocument, record: ChangeRecord, **options: Any) -> Deployment:
        if options.get("urgent"):
            night_shift(world.control, FlagDocument(enabled=True, percent=2), ChangeRecord("night-shift", "percent 2"))
        return night_shift(world.control, document, record, **options)

    world.control.deploy = first  # type: ignore[method-assign]
    report = world.ramp()
    assert (report.ending, world.in_force().percent) == (Ending.OVERTAKEN, 2)
    assert "1 % fails" in report.sentence
    assert "night-shift" in report.sentence


def test_an_interrupted_switch_off_says_that_the_step_fails() -> None:
    """After Ctrl-C during an outage, the report says that the step may still be on, and what to do."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, NO_ANSWER, switching_off, times=99)

    def interrupted() -> None:
        if world.messages("cannot be switched off yet") > 2:
            raise KeyboardInterrupt

    world.meanwhile = interrupted
    report = world.ramp()
    assert (report.ending, report.document) == (Ending.FAILING, world.in_force())
    assert all(part in report.sentence for part in ("FAILS and may still be on", "rollout off", "fallbacks"))


def rising_to_5(options: dict[str, object]) -> bool:
    return options["percent"] == 5


@pytest.mark.parametrize("error", [NO_ANSWER, RolloutRefused("somebody is changing the flag just now")])
@pytest.mark.parametrize("lost", [True, False])
def test_a_step_is_deployed_despite_errors(error: Exception, lost: bool) -> None:
    """The ramp waits for an outage to end, and recognises its own deployment when the answer was lost."""
    world = World()
    Hindrance(world, error, rising_to_5, lost=lost)
    assert world.ramp().ending is Ending.DONE
    assert world.percents() == [1, 5, 25, 50, 100]


def test_the_first_step_is_deployed_despite_an_outage() -> None:
    """No step below has to be judged meanwhile."""
    world = World()
    Hindrance(world, NO_ANSWER, lambda options: options["percent"] == 1)
    assert world.ramp().ending is Ending.DONE


def test_a_step_that_is_never_deployed_is_given_up() -> None:
    """When the patience ends, and the report says why."""
    world = World()
    Hindrance(world, NO_ANSWER, rising_to_5, times=9999)
    report = world.ramp()
    assert (report.ending, world.in_force().percent) == (Ending.HELD, 1)
    assert "5 % was not deployed: no answer" in report.sentence


def test_a_step_is_judged_while_the_next_cannot_be_deployed() -> None:
    """A verdict from before an outage is no reason to go up after it."""
    world = World()
    begun_s = world.clock.now()
    Hindrance(world, NO_ANSWER, rising_to_5, times=9999)
    world.traffic.fallbacks = lambda percent: 0.6 if world.clock.now() > begun_s + 2 * PLAN.bake_s else 0.01
    assert world.ramp().ending is Ending.FAILED
    assert world.percents() == [1, 0]


def test_a_rollback_by_appconfig_ends_the_ramp() -> None:
    """Its monitor undid the step since an alarm fired: the step failed, and the ramp does not repeat it."""
    world = World()

    def undoing() -> None:
        if world.in_force().percent == 5:
            world.control.become("ROLLED_BACK")

    world.meanwhile = undoing
    report = world.ramp()
    assert (report.ending, report.document.percent, world.in_force().percent) == (Ending.FAILED, 1, 1)
    assert "AppConfig undid it" in report.sentence
    assert f"1 % are treated now, after {report.exposed} treated requests" in report.sentence


def test_a_step_that_somebody_reverted_ends_the_ramp() -> None:
    """An operator's StopDeployment is no verdict."""
    world = World()
    world.meanwhile = lambda: world.control.become("REVERTED") if world.in_force().percent == 5 else None
    report = world.ramp()
    assert (report.ending, report.document.percent) == (Ending.OVERTAKEN, 1)


def test_the_guard_ends_the_ramp() -> None:
    """The guard lowered exposure because of an alarm: the step failed."""
    world = World()

    def lowering() -> None:
        if world.in_force().percent == 5:
            world.control.deploy(FlagDocument(enabled=True, percent=1), ChangeRecord("guard", "alarm: 5 % -> 1 %"))

    world.meanwhile = lowering
    report = world.ramp()
    assert (report.ending, report.document.percent) == (Ending.FAILED, 1)
    assert "guard changed the flag: alarm: 5 % -> 1 %" in report.sentence


def test_no_step_passes_while_appconfig_watches() -> None:
    """AppConfig would refuse the next step while it bakes this one."""
    world = World()
    begun_s = world.clock.now()

    def baking() -> None:
        age_s = world.clock.now() - world.control.history(1)[0].started_at_s
        world.control.become("BAKING" if age_s < 300 else "COMPLETE")

    world.meanwhile = baking
    assert world.ramp(replace(PLAN, bake_s=0)).ending is Ending.DONE
    assert world.clock.now() - begun_s >= 5 * 300
    blocked = {event.blocked for event in world.events if isinstance(event, Observation)}
    assert "AppConfig still watches deployment 2" in blocked


def test_a_step_that_appconfig_watches_is_resumed() -> None:
    """A ramp that was killed while its step bakes goes on; another deployment in flight has it refused."""
    world = World()
    kill_at(world, 25)
    world.control.become("BAKING")
    done_s = world.clock.now() + 200

    def completed() -> None:
        if world.clock.now() > done_s and world.control.history(1)[0].state == "BAKING":
            world.control.become("COMPLETE")

    world.meanwhile = completed
    assert world.ramp().ending is Ending.DONE
    other = World(FlagDocument(enabled=True, percent=8))
    other.control.become("BAKING")
    with pytest.raises(RolloutRefused, match="BAKING"):
        other.ramp()


def test_a_failure_reports_what_the_whole_ramp_exposed() -> None:
    """The treated requests of the failed step, and of all steps since this ramp began. An older ramp's do not count."""
    world = World()
    treated_s: list[tuple[float, float]] = []

    def failed_at_5() -> RampReport:
        report = world.ramp(replace(PLAN, percents=(1, 5, 25)))
        assert report.ending is Ending.FAILED
        treated_s.append((report.exposed or 0, report.exposed_by_ramp or 0))
        return report

    world.traffic.fallbacks = lambda percent: 0.6 if percent == 5 else 0.01
    first = failed_at_5()
    world.clock.advance(86_400)
    failed_at_5()
    assert f"({first.exposed_by_ramp} since the ramp began)" in first.sentence
    assert treated_s[0] == treated_s[1]
    assert treated_s[0][1] > treated_s[0][0] > 0


def test_a_failing_step_is_switched_off_without_figures() -> None:
    """When the figures fail after the verdict, the report says that the number of requests is unknown."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    world.traffic.down = lambda: not world.in_force().enabled and len(world.percents()) > 1
    report = world.ramp()
    assert (report.ending, report.exposed) == (Ending.FAILED, None)
    assert "unknown number of treated requests" in report.sentence


def test_a_ramp_may_not_begin_beside_another_change() -> None:
    """It is refused as well if nothing was ever deployed."""
    world = World()
    world.control.become("DEPLOYING")
    with pytest.raises(RolloutRefused, match="DEPLOYING"):
        world.ramp()
    with pytest.raises(RolloutRefused, match="rollout init"):
        World(None).ramp()


@given(st.lists(st.floats(-5, 120).map(lambda value: round(value, 2)), max_size=6))
def test_a_plan_s_percentages_rise(percents: list[float]) -> None:
    """Above 0 and up to 100; anything else is no plan."""
    rises = bool(percents) and sorted(set(percents)) == percents and percents[0] > 0 and percents[-1] <= 100
    try:
        plan = RampPlan(tuple(percents))
    except ConfigurationError:
        assert not rises
        return
    assert rises
    assert [step.percent for step in plan.steps(OFF)] == [percents[0], *percents]


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 1), st.sampled_from([1.0, 5.0, 25.0]), st.booleans())
def test_exposure_only_rises_while_all_is_well(fallbacks: float, from_percent: float, silent: bool) -> None:
    """Percentages rise in the ramp's order, and end at the top, off, or where they were."""
    world = World()
    world.traffic.fallbacks = lambda treated: fallbacks if treated >= from_percent else 0.0
    world.traffic.silent = silent
    report = world.ramp()
    climbed = [percent for percent in world.percents() if percent > 0]
    assert climbed == list(PLAN.percents[: len(climbed)])
    assert (report.ending is Ending.DONE) == (world.in_force() == FlagDocument(enabled=True, percent=100))
    assert (report.ending is Ending.FAILED) == (not world.in_force().enabled)


def test_a_ramp_does_not_begin_on_what_cannot_be_read() -> None:
    """The refusal says what is wrong, and which commands help."""
    world = World()
    version = world.control.create_version(b'{"percent": 12.345}')
    world.control.redeploy(str(version), ChangeRecord("console", "by hand"), since=world.control.deployed())
    with pytest.raises(ConfigurationError, match=r"two decimals.*rollout off"):
        world.ramp()


def test_each_step_waits_until_appconfig_has_watched_it() -> None:
    """The next step waits for a bake that is longer than the ramp's own."""
    world = World()
    world.control = world.traffic.control = InMemoryControl(world.clock, FlagDocument(), bake_s=900)
    assert world.ramp(replace(PLAN, bake_s=60, observe_every_s=30)).ending is Ending.DONE
    started = [entry.started_at_s for entry in reversed(world.control.history(99))][1:]
    assert len(started) == len(PLAN.percents)
    assert all(later - earlier >= 900 for earlier, later in itertools.pairwise(started))
