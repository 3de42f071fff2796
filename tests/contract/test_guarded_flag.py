"""What the guard's property tests build on: the flag in memory keeps the rules that AppConfig keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from flagrank.delivery.guard import ExposureReduction
from flagrank.errors import RolloutRefused
from flagrank.flags.document import FlagDocument
from tests.adapters.control.guard_account import Account
from tests.unit.delivery.guarded_flag import OFF, FlagInMemory, on

type Deploy = Callable[[FlagDocument | None, float, bool], None]


@dataclass(frozen=True)
class Story:
    """A flag, and what others do to it: minutes since the story began."""

    flag: Any
    deploy: Deploy
    undo: Callable[[float], None]
    ring: Callable[[], None]
    is_armed: Callable[[], bool]

    def lower(self, document: FlagDocument) -> None:
        """What the guard does, with what it sees now."""
        seen = self.flag.steps()
        stop = seen.newest_first[0].number if seen.newest_first[0].in_flight else None
        self.flag.lower(ExposureReduction(document, stop, "guard: test"), seen)

    def standing(self) -> list[FlagDocument | None]:
        return [step.document for step in self.flag.steps().newest_first]


def in_memory() -> Story:
    flag = FlagInMemory(rollback_calls=3)

    def deploy(document: FlagDocument | None, minutes: float, in_flight: bool) -> None:
        flag.deploy(document, minutes, in_flight=in_flight)

    def undo(minutes: float) -> None:
        flag.undo(minutes)
        flag._rolling = 0

    def ring() -> None:
        flag.ringing = True

    return Story(flag, deploy, undo, ring, lambda: flag.armed)


def over_appconfig(account: Account) -> Story:
    def deploy(document: FlagDocument | None, minutes: float, in_flight: bool) -> None:
        account.deploy(document or b"by hand", minutes, strategy="AppConfig.AllAtOnce" if in_flight else "")

    return Story(account.guarded, deploy, account.undo, account.ring, account.is_armed)


@pytest.fixture(params=["in_memory", "appconfig"])
def story(request: pytest.FixtureRequest) -> Story:
    return in_memory() if request.param == "in_memory" else over_appconfig(request.getfixturevalue("account"))


def test_steps_are_newest_first_and_the_undone_apart(story: Story) -> None:
    """With both counts, so that whoever changes the flag next is noticed."""
    story.deploy(on(1), 0, False)
    story.deploy(on(5), 20, False)
    story.deploy(on(25), 40, True)
    assert [step.in_flight for step in story.flag.steps().newest_first] == [True, False, False]
    story.undo(41)
    steps = story.flag.steps()
    assert [step.document for step in steps.newest_first] == [on(5), on(1)]
    assert [(step.document, step.number) for step in steps.undone] == [(on(25), 3)]
    assert (steps.latest_deployment, steps.latest_version) == (3, 3)


def test_what_cannot_be_read_is_a_step_without_a_document(story: Story) -> None:
    """And says why."""
    story.deploy(on(5), 0, False)
    story.deploy(None, 20, False)
    unreadable, readable = story.flag.steps().newest_first
    assert (unreadable.document, readable.document, readable.problem) == (None, on(5), "")
    assert unreadable.problem


def test_lowering_puts_the_document_into_force(story: Story) -> None:
    """Under its record, complete, and with the monitor armed after it."""
    story.deploy(on(25), 0, False)
    story.lower(on(5))
    newest = story.flag.steps().newest_first[0]
    assert (newest.document, newest.description, newest.in_flight) == (on(5), "guard: test", False)
    assert story.is_armed()


def test_a_flag_that_changed_since_is_not_lowered(story: Story) -> None:
    """Whoever was faster stays in force."""
    story.deploy(on(25), 0, False)
    seen = story.flag.steps()
    story.deploy(on(1), 20, False)
    with pytest.raises(RolloutRefused):
        story.flag.lower(ExposureReduction(OFF, None, "guard: test"), seen)
    assert story.standing() == [on(1), on(25)]


def test_what_is_in_flight_is_stopped_first(story: Story) -> None:
    """The guard waits for the rollback."""
    story.deploy(on(5), 0, False)
    story.deploy(on(25), 20, True)
    story.lower(on(1))
    assert story.standing() == [on(1), on(5)]


def test_a_rollback_by_the_monitor_is_waited_for(story: Story) -> None:
    """While it rings it rolls back what is in flight, and not what the guard deploys after that."""
    story.deploy(on(5), 0, False)
    story.deploy(on(25), 20, True)
    story.ring()
    assert story.standing() == [on(5)]
    story.lower(on(1))
    assert story.standing() == [on(1), on(5)]


@pytest.mark.parametrize(("document", "armed"), [(on(5), False), (OFF, False), (on(50), True)])
def test_the_monitor_is_armed_but_for_a_lowering_in_flight(story: Story, document: FlagDocument, armed: bool) -> None:
    """Whoever began it; what raises is what it is for."""
    story.deploy(on(25), 0, False)
    story.deploy(document, 20, True)
    blind(story)
    story.flag.rearm()
    assert story.is_armed() == armed


def blind(story: Story) -> None:
    """As whoever deploys urgently does."""
    if isinstance(story.flag, FlagInMemory):
        story.flag.armed = False
    else:
        story.flag._blind()
