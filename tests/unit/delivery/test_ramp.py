"""A ramp over an in-memory flag, a manual clock, and arms that do as they are told."""

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
from flagrank.delivery.deployments import UNDONE, DeployedFlag, Deployment
from flagrank.delivery.observation import Observation
from flagrank.delivery.plan import RampPlan
from flagrank.delivery.ramp import Ending, Ramp, RampReport
from flagrank.errors import CloudError, ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import treated_percent

PLAN = RampPlan((1, 5, 25, 50, 100), bake_s=600, look_every_s=150, patience_s=1800, shadow=False)
REQUESTS_A_SECOND = 500
OFF = FlagDocument(percent=25)


def arm(requests: float, *, fallbacks: float = 0.0, attempted: bool = True) -> ArmCounts:
    """An arm in which everything else is well."""
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
    """Steady traffic on the flag as it was at each moment; `fallbacks` by share of users treated."""

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
    """A flag with its traffic, and what the ramp said."""

    document: FlagDocument | None = field(default_factory=FlagDocument)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.control = InMemoryControl(self.clock, self.document)
        self.traffic = Traffic(self.control, self.clock)
        self.told: list[Observation | str] = []
        self.alarm: str | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def ramp(self, plan: RampPlan = PLAN) -> RampReport:
        def wait(seconds: float) -> None:
            self.clock.advance(seconds)
            self.meanwhile()

        return Ramp(
            plan, self.control, self.traffic, self.clock, wait, "me", "test", self.told.append, lambda: self.alarm
        ).run()

    def percents(self) -> list[float]:
        """The share of every deployment, the first document left out."""
        documents = [self.control.document(entry.version) for entry in reversed(self.control.history(99))]
        return [document.percent if document.enabled else 0.0 for document in documents[1:]]

    def said(self, words: str) -> int:
        """How often the ramp said these words."""
        return sum(words in told for told in self.told if isinstance(told, str))

    def in_force(self) -> FlagDocument:
        document = self.control.deployed().document
        assert document is not None
        return document


def test_a_healthy_ramp_reaches_the_top_by_itself() -> None:
    """Step by step, each baked, and everything else in the document stays."""
    world = World(FlagDocument(alpha=0.25))
    start_s = world.clock.now()
    report = world.ramp()
    assert report.ending is Ending.DONE
    assert world.percents() == [1, 5, 25, 50, 100]
    assert world.in_force() == FlagDocument(enabled=True, percent=100, alpha=0.25)
    assert world.clock.now() - start_s >= 5 * PLAN.bake_s


def test_a_ramp_begins_in_shadow() -> None:
    """The first step asks the LLM and serves the baseline; a flag that serves already needs none."""
    world = World()
    assert world.ramp(replace(PLAN, shadow=True)).ending is Ending.DONE
    documents = [world.control.document(entry.version) for entry in reversed(world.control.history(99))]
    assert [(entry.mode, entry.percent) for entry in documents[1:4]] == [("shadow", 1), ("serve", 1), ("serve", 5)]
    serving = World(FlagDocument(enabled=True, percent=5))
    serving.ramp(replace(PLAN, shadow=True))
    assert {entry.change.split()[2] for entry in serving.control.history(3)} == {"%"}


@pytest.mark.parametrize("percent", PLAN.percents)
def test_a_fault_switches_the_flag_off_at_its_step(percent: float) -> None:
    """Whichever step it is; the report names the figure and how many were exposed, and the record does too."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6 if treated >= percent else 0.01
    report = world.ramp()
    assert report.ending is Ending.FAILED
    assert "fallbacks" in report.sentence
    assert report.exposed is not None
    assert str(report.exposed) in report.sentence
    assert not world.in_force().enabled
    newest = world.control.history(1)[0]
    assert newest.change.startswith(f"off, ramp {percent:g} %: fallbacks")


def kill_at(world: World, percent: float) -> None:
    """A ramp that is killed at its first look at a share."""

    def killed() -> None:
        if world.in_force().percent == percent:
            raise KeyboardInterrupt

    world.meanwhile = killed
    with pytest.raises(KeyboardInterrupt):
        world.ramp()
    world.meanwhile = lambda: None


def test_a_ramp_that_was_killed_goes_on_where_it_was() -> None:
    """The same command finds the step in force, and bakes it once more however long it stood."""
    world = World()
    kill_at(world, 25)
    world.clock.advance(3 * PLAN.bake_s)
    resumed_s = world.clock.now()
    assert world.ramp().ending is Ending.DONE
    assert world.percents() == [1, 5, 25, 50, 100]
    at_50 = world.control.history(2)[1].started_at_s
    assert PLAN.bake_s <= at_50 - resumed_s <= PLAN.bake_s + PLAN.look_every_s


def test_a_resumed_ramp_is_judged_by_what_happens_now() -> None:
    """Three good days do not outweigh the last twenty minutes."""
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


def test_patience_begins_with_the_ramp_that_has_it() -> None:
    """One that is resumed late is not at the end of it when nobody answers for a moment."""
    world = World()
    kill_at(world, 25)
    world.clock.advance(2 * PLAN.patience_s)
    resumed_s = world.clock.now()
    world.traffic.down = lambda: world.clock.now() < resumed_s + 300
    assert world.ramp().ending is Ending.DONE


def test_a_ramp_joins_a_share_between_its_steps() -> None:
    """From 8 percent the next step is 25; above the last step there is nothing to do, and it says so."""
    world = World(FlagDocument(enabled=True, percent=8))
    world.ramp()
    assert world.percents() == [25, 50, 100]
    with pytest.raises(RolloutRefused, match="100 % are treated already"):
        world.ramp(replace(PLAN, percents=(1, 5)))


def test_an_operator_is_never_overwritten() -> None:
    """Whoever changes the flag meanwhile ends the ramp, which says who and what."""
    world = World()

    def meddle() -> None:
        if world.in_force().percent == 5:
            world.control.deploy(FlagDocument(enabled=True, percent=2), actor="night-shift", reason="percent 2 (slow)")

    world.meanwhile = meddle
    report = world.ramp()
    assert report.ending is Ending.OVERTAKEN
    assert "night-shift changed the flag: percent 2 (slow)" in report.sentence
    assert world.in_force().percent == 2


def test_an_operator_between_a_look_and_the_next_step_is_not_overwritten() -> None:
    """AppConfig's own check refuses the step."""
    world = World()
    reads = iter(range(99))
    seen = world.control.deployed

    def stale() -> DeployedFlag:
        deployed = seen()
        if next(reads) == 1:
            world.control.deploy(FlagDocument(), actor="night-shift", reason="off")
        return deployed

    world.control.deployed = stale  # type: ignore[method-assign]
    report = world.ramp(replace(PLAN, bake_s=0, propagation_s=0))
    assert report.ending is Ending.OVERTAKEN
    assert not world.in_force().enabled


def test_a_step_that_cannot_be_told_is_left_as_it_is() -> None:
    """Without data there is no verdict: neither up nor down, and the report says what is missing."""
    world = World()
    world.traffic.silent = True
    report = world.ramp()
    assert report.ending is Ending.HELD
    assert "no data" in report.sentence
    assert world.in_force() == FlagDocument(enabled=True, percent=1)


def test_nobody_goes_up_while_the_alarm_rings() -> None:
    """The verdict may pass: the alarm holds the ramp."""
    world = World()
    world.alarm = "RerankUnhealthy"
    report = world.ramp()
    assert report.ending is Ending.HELD
    assert "RerankUnhealthy" in report.sentence
    assert world.percents() == [1]


def test_an_outage_of_the_figures_is_no_verdict() -> None:
    """The ramp looks again, and goes on when the figures are back."""
    world = World()
    start_s = world.clock.now()
    world.traffic.down = lambda: 100 <= world.clock.now() - start_s < 1000
    assert world.ramp().ending is Ending.DONE
    assert any(isinstance(told, str) and "looking again: no answer" in told for told in world.told)


def test_an_outage_for_ever_ends_with_the_patience() -> None:
    """Nobody waits for a cloud that does not come back."""
    world = World()
    world.traffic.down = lambda: True
    assert world.ramp().ending is Ending.HELD
    assert world.percents() == [1]


@dataclass
class Hindrance:
    """Comes between the ramp and its deployments: the first tries raise, `lost` ones after the deployment was made."""

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

    def hinder(self, deploy: Callable[..., Deployment], what: FlagDocument | str, **options: Any) -> Deployment:
        document = what if isinstance(what, FlagDocument) else self.world.control.document(what)
        hindered = self.hinders({"percent": document.percent, **options}) and self.times > 0
        if hindered:
            self.times -= 1
        if hindered and not self.lost:
            raise self.error
        if isinstance(what, str):
            options.pop("urgent")
        deployment = deploy(what, **options)
        if hindered:
            self.world.control.become(self.state)
            raise self.error
        return deployment


NO_ANSWER = CloudError("no answer")
UNDONE_AT_ONCE = RolloutRefused("deployment was undone at once: does an alarm ring?")


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
def test_a_failing_step_is_switched_off_whatever_comes_between(error: Exception, lost: bool, state: str) -> None:
    """An outage, a refusal, an alarm that undoes it: the ramp tries again until nobody is treated."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, error, switching_off, lost=lost, state=state)
    assert world.ramp().ending is Ending.FAILED
    assert not world.in_force().enabled
    assert world.said("cannot be switched off yet") == 3


def test_a_switch_off_that_is_undone_again_and_again_makes_one_version() -> None:
    """A profile holds so many, and the last of them must not be what keeps the failing share on."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, UNDONE_AT_ONCE, switching_off, times=40, lost=True, state="ROLLED_BACK")
    assert world.ramp().ending is Ending.FAILED
    assert world.control.history(1)[0].version == "3"


def test_a_switch_off_whose_answer_was_lost_is_not_repeated() -> None:
    """The ramp finds its own deployment, and nobody has overtaken it."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, NO_ANSWER, switching_off, lost=True)
    assert world.ramp().ending is Ending.FAILED
    assert world.percents() == [1, 0]


def test_a_switch_off_that_is_still_in_flight_is_awaited() -> None:
    """Stopping it would bring the failing share back."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, RolloutRefused("still not done after 20 s"), switching_off, lost=True, state="DEPLOYING")
    waits = iter(range(99))

    def settling() -> None:
        if not world.in_force().enabled and next(waits) == 4:
            world.control.become("COMPLETE")

    world.meanwhile = settling
    assert world.ramp().ending is Ending.FAILED
    assert world.percents() == [1, 0]
    assert world.said("AppConfig is at it") == 0
    assert world.said("still not done") == 4


def test_a_switch_off_yields_to_another_s_change() -> None:
    """Whoever changed the flag first is in charge of it, and the report says that the step fails."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    night_shift = InMemoryControl.deploy

    def first(document: FlagDocument, **options: Any) -> Deployment:
        if options.get("urgent"):
            night_shift(world.control, FlagDocument(enabled=True, percent=2), actor="night-shift", reason="percent 2")
        return night_shift(world.control, document, **options)

    world.control.deploy = first  # type: ignore[method-assign]
    report = world.ramp()
    assert (report.ending, world.in_force().percent) == (Ending.OVERTAKEN, 2)
    assert "1 % fails" in report.sentence
    assert "night-shift" in report.sentence


def test_an_interrupted_switch_off_says_that_the_step_fails() -> None:
    """Ctrl-C while the cloud does not answer: the operator is told that it is on, and what to do."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    Hindrance(world, NO_ANSWER, switching_off, times=99)

    def interrupted() -> None:
        if world.said("cannot be switched off yet") > 2:
            raise KeyboardInterrupt

    world.meanwhile = interrupted
    report = world.ramp()
    assert (report.ending, report.document) == (Ending.FAILING, world.in_force())
    assert all(part in report.sentence for part in ("FAILS and may still be on", "rollout off", "fallbacks"))


def rising_to_5(options: dict[str, object]) -> bool:
    return options["percent"] == 5


@pytest.mark.parametrize("error", [NO_ANSWER, RolloutRefused("somebody is changing the flag just now")])
@pytest.mark.parametrize("lost", [True, False])
def test_a_step_survives_what_comes_between(error: Exception, lost: bool) -> None:
    """An outage at a step is waited for; a deployment whose answer was lost is the ramp's own."""
    world = World()
    Hindrance(world, error, rising_to_5, lost=lost)
    assert world.ramp().ending is Ending.DONE
    assert world.percents() == [1, 5, 25, 50, 100]


def test_the_first_step_survives_an_outage() -> None:
    """There is nothing to judge meanwhile."""
    world = World()
    Hindrance(world, NO_ANSWER, lambda options: options["percent"] == 1)
    assert world.ramp().ending is Ending.DONE


def test_a_step_that_is_never_deployed_is_given_up() -> None:
    """With the patience, and the report says why."""
    world = World()
    Hindrance(world, NO_ANSWER, rising_to_5, times=9999)
    report = world.ramp()
    assert (report.ending, world.in_force().percent) == (Ending.HELD, 1)
    assert "5 % was not deployed: no answer" in report.sentence


def test_a_step_that_waits_for_the_next_is_judged_all_the_while() -> None:
    """A verdict of before the outage is no reason to go up after it."""
    world = World()
    begun_s = world.clock.now()
    Hindrance(world, NO_ANSWER, rising_to_5, times=9999)
    world.traffic.fallbacks = lambda percent: 0.6 if world.clock.now() > begun_s + 2 * PLAN.bake_s else 0.01
    assert world.ramp().ending is Ending.FAILED
    assert world.percents() == [1, 0]


def test_a_rollback_by_appconfig_ends_the_ramp() -> None:
    """Its monitor undid the step, since an alarm rang: that is a failed step, and the ramp does not repeat it."""
    world = World()

    def undone() -> None:
        if world.in_force().percent == 5:
            world.control.become("ROLLED_BACK")

    world.meanwhile = undone
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
    """It lowered exposure because of an alarm: the step failed."""
    world = World()

    def lowered() -> None:
        if world.in_force().percent == 5:
            world.control.deploy(FlagDocument(enabled=True, percent=1), actor="guard", reason="alarm: 5 % -> 1 %")

    world.meanwhile = lowered
    report = world.ramp()
    assert (report.ending, report.document.percent) == (Ending.FAILED, 1)
    assert "guard changed the flag: alarm: 5 % -> 1 %" in report.sentence


def test_nobody_goes_up_while_appconfig_watches() -> None:
    """A step that AppConfig still bakes waits for it, since the next one would be refused."""
    world = World()
    begun_s = world.clock.now()

    def baking() -> None:
        age_s = world.clock.now() - world.control.history(1)[0].started_at_s
        world.control.become("BAKING" if age_s < 300 else "COMPLETE")

    world.meanwhile = baking
    assert world.ramp(replace(PLAN, bake_s=0)).ending is Ending.DONE
    assert world.clock.now() - begun_s >= 5 * 300
    blocked = {told.blocked for told in world.told if isinstance(told, Observation)}
    assert "AppConfig still watches deployment 2" in blocked


def test_a_step_that_appconfig_watches_is_resumed() -> None:
    """Killed in AppConfig's bake, the same command goes on; another's deployment is in the way."""
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


def test_a_failure_says_what_the_whole_ramp_exposed() -> None:
    """The failed step's treated requests, and those of all steps since the ramp began; an older ramp's do not count."""
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


def test_a_failure_whose_cost_nobody_knows_is_off_all_the_same() -> None:
    """The figures go down after the verdict: the report says that they are missing."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    world.traffic.down = lambda: not world.in_force().enabled and len(world.percents()) > 1
    report = world.ramp()
    assert (report.ending, report.exposed) == (Ending.FAILED, None)
    assert "unknown number of treated requests" in report.sentence


def test_a_ramp_may_not_begin_beside_another_change() -> None:
    """Nor where nothing was ever deployed."""
    world = World()
    world.control.become("DEPLOYING")
    with pytest.raises(RolloutRefused, match="DEPLOYING"):
        world.ramp()
    with pytest.raises(RolloutRefused, match="rollout init"):
        World(None).ramp()


@given(st.lists(st.floats(-5, 120).map(lambda value: round(value, 2)), max_size=6))
def test_a_ramp_rises_or_is_none(percents: list[float]) -> None:
    """Whatever is asked for, a plan's percentages rise, above 0 and up to 100."""
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
    """However bad the treatment is: shares rise in the ramp's order, and end at the top, off, or where they stood."""
    world = World()
    world.traffic.fallbacks = lambda treated: fallbacks if treated >= from_percent else 0.0
    world.traffic.silent = silent
    report = world.ramp()
    climbed = [percent for percent in world.percents() if percent > 0]
    assert climbed == list(PLAN.percents[: len(climbed)])
    assert (report.ending is Ending.DONE) == (world.in_force() == FlagDocument(enabled=True, percent=100))
    assert (report.ending is Ending.FAILED) == (not world.in_force().enabled)


def test_a_ramp_does_not_begin_on_what_cannot_be_read() -> None:
    """It says what is wrong, and the ways down."""
    world = World()
    version = world.control.create_version(b'{"percent": 12.345}')
    world.control.redeploy(str(version), actor="console", reason="by hand", since=world.control.deployed())
    with pytest.raises(ConfigurationError, match=r"two decimals.*rollout off"):
        world.ramp()


def test_each_step_waits_until_appconfig_has_watched_it() -> None:
    """A step that bakes for longer than the ramp would wait is not overtaken by the next one."""
    world = World()
    world.control = world.traffic.control = InMemoryControl(world.clock, FlagDocument(), bake_s=900)
    assert world.ramp(replace(PLAN, bake_s=60, look_every_s=30)).ending is Ending.DONE
    started = [entry.started_at_s for entry in reversed(world.control.history(99))][1:]
    assert len(started) == len(PLAN.percents)
    assert all(later - earlier >= 900 for earlier, later in itertools.pairwise(started))
