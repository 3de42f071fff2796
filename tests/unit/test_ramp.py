"""A ramp over an in-memory flag, a manual clock, and arms that do as they are told."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.adapters.in_memory import ManualClock
from flagrank.adapters.in_memory_control import InMemoryControl
from flagrank.deployments import DeployedFlag
from flagrank.errors import CloudError, ConfigurationError, RolloutRefused
from flagrank.figures import LATENCY_LADDER_MS, ArmFigures, Arms
from flagrank.ramp import Ending, Look, Ramp, RampPlan, RampReport
from flagrank.rollout import FlagDocument

PLAN = RampPlan((1, 5, 25, 50, 100), bake_s=600, look_every_s=60, patience_s=3600, shadow=False)
REQUESTS_A_SECOND = 500
OFF = FlagDocument(percent=25)


def arm(requests: float, *, fallbacks: float = 0.0, attempted: bool = True) -> ArmFigures:
    """An arm in which everything else is well."""
    count = int(requests)
    return ArmFigures(
        requests=count,
        attempted=count * attempted,
        fallbacks=int(count * fallbacks),
        slower=tuple(count if rung < 100 else 0 for rung in LATENCY_LADDER_MS),
        cost_micro_usd=100 * count * attempted,
        cost_micro_usd_squared=100**2 * count * attempted,
    )


@dataclass
class Traffic:
    """Steady traffic on the flag that is in force; `fallbacks` by share of users treated."""

    control: InMemoryControl
    clock: ManualClock
    fallbacks: Callable[[float], float] = lambda percent: 0.01
    silent: bool = False
    down: Callable[[], bool] = lambda: False

    def read(self, since_s: float, until_s: float) -> Arms:
        if self.down():
            raise CloudError("no answer")
        document = self.control.deployed().document
        if document is None or self.silent:
            return Arms()
        requests = REQUESTS_A_SECOND * (until_s - since_s)
        treated = requests * document.percent / 100 * document.enabled
        fallbacks = self.fallbacks(document.percent)
        return Arms(arm(treated, fallbacks=fallbacks), arm(requests - treated, attempted=False))


@dataclass
class World:
    """A flag with its traffic, and what the ramp said."""

    document: FlagDocument | None = field(default_factory=FlagDocument)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.control = InMemoryControl(self.clock, self.document)
        self.traffic = Traffic(self.control, self.clock)
        self.told: list[Look | str] = []
        self.unhealthy = False
        self.meanwhile: Callable[[], None] = lambda: None

    def ramp(self, plan: RampPlan = PLAN) -> RampReport:
        def wait(seconds: float) -> None:
            self.clock.advance(seconds)
            self.meanwhile()

        return Ramp(
            plan, self.control, self.traffic, self.clock, wait, "me", "test", self.told.append, lambda: self.unhealthy
        ).run()

    def percents(self) -> list[float]:
        """The share of every deployment, the first document left out."""
        documents = [self.control.document(entry.version) for entry in reversed(self.control.history(99))]
        return [document.percent if document.enabled else 0.0 for document in documents[1:]]

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
    assert newest.is_retreat


def test_a_ramp_that_was_killed_goes_on_where_it_was() -> None:
    """The same command finds the step in force and counts its bake from its deployment on."""
    world = World()

    def killed() -> None:
        if world.in_force().percent == 25:
            raise KeyboardInterrupt

    world.meanwhile = killed
    with pytest.raises(KeyboardInterrupt):
        world.ramp()
    world.meanwhile = lambda: None
    world.clock.advance(PLAN.bake_s)
    before_s = world.clock.now()
    assert world.ramp().ending is Ending.DONE
    assert world.percents() == [1, 5, 25, 50, 100]
    assert world.clock.now() - before_s <= 2 * (PLAN.bake_s + PLAN.flip_s + PLAN.look_every_s)


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
    report = world.ramp(replace(PLAN, bake_s=0, flip_s=0))
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
    world.unhealthy = True
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


def test_a_failing_step_is_switched_off_as_soon_as_the_cloud_answers() -> None:
    """The control plane is gone when it is needed: the ramp keeps trying."""
    world = World()
    world.traffic.fallbacks = lambda treated: 0.6
    deploy, tries = world.control.deploy, iter(range(9))

    def unreachable(*args: object, **options: object) -> object:
        if options.get("urgent") and next(tries) < 3:
            raise CloudError("no answer")
        return deploy(*args, **options)  # type: ignore[arg-type]

    world.control.deploy = unreachable  # type: ignore[method-assign, assignment]
    assert world.ramp().ending is Ending.FAILED
    assert not world.in_force().enabled
    assert sum("cannot be switched off yet" in told for told in world.told if isinstance(told, str)) == 3


def test_a_rollback_by_appconfig_ends_the_ramp() -> None:
    """Its monitor undid the step: the ramp does not repeat it."""
    world = World()

    def undone() -> None:
        if world.in_force().percent == 5:
            world.control.become("ROLLED_BACK")

    world.meanwhile = undone
    report = world.ramp()
    assert (report.ending, world.in_force().percent) == (Ending.OVERTAKEN, 1)
    assert "AppConfig undid it" in report.sentence


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


@settings(max_examples=30, deadline=None)
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
