"""The ways down: which version a rollback returns to, and that off wins."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.deployments import DeployedFlag, Deployment
from flagrank.delivery.guard import ACTOR
from flagrank.delivery.rollback import ATTEMPTS, is_off, rollback_target, switch_off
from flagrank.errors import RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure

PERCENTS = (1.0, 5.0, 25.0, 50.0)
UNREADABLE = b'{"enabled": true, "percent": 12.345}'


def on(percent: float) -> FlagDocument:
    return FlagDocument(enabled=True, percent=percent)


def ramped(*percents: float) -> InMemoryControl:
    """A flag that was raised step by step."""
    control = InMemoryControl(ManualClock())
    for percent in percents:
        control.deploy(on(percent), actor="me", reason=f"percent {percent:g}")
    return control


def found(control: InMemoryControl) -> tuple[Deployment, FlagDocument] | None:
    """Where a rollback would lead."""
    return rollback_target(control.deployments(), control.document)


def go_back(control: InMemoryControl) -> float | None:
    """The share after a rollback, None where there is no way back."""
    back = found(control)
    if back is None:
        return None
    good, document = back
    control.redeploy(good.version, actor="me", reason=f"rollback to {good.label}", since=control.deployed())
    return document.percent if document.enabled else 0.0


def by_console(control: InMemoryControl, content: bytes) -> None:
    """A document that no model has checked is in force."""
    control.redeploy(str(control.create_version(content)), actor="", reason="", since=control.deployed())


def test_going_back_twice_goes_back_twice() -> None:
    """And not to what was left the first time; at the beginning there is no way back."""
    control = ramped(1, 5, 25)
    assert [go_back(control) for _ in range(3)] == [5, 1, None]


def test_what_was_undone_is_never_returned_to() -> None:
    """AppConfig rolled 25 back, or is about to: the way back from 5 is 1."""
    for state in ("ROLLED_BACK", "ROLLING_BACK"):
        control = ramped(1, 5, 25)
        control.become(state)
        assert go_back(control) == 1


@pytest.mark.parametrize("actor", ["me", ACTOR])
def test_after_a_kill_there_is_no_way_back(actor: str) -> None:
    """Everyone gets the baseline already, and every other version treats more."""
    control = ramped(1, 5, 25)
    control.deploy(FlagDocument(percent=25), actor=actor, reason="whatever the words")
    assert go_back(control) is None


def test_a_share_that_was_left_downwards_by_hand_is_not_returned_to() -> None:
    """50 %, too slow, 5 %, off, and back: exposure stays where it is; nor does 50 come back above a new 60."""
    control = ramped(1, 50, 5)
    control.deploy(FlagDocument(percent=5), actor="me", reason="off")
    assert go_back(control) is None
    control = ramped(1, 50, 5, 60)
    assert [go_back(control) for _ in range(3)] == [5, 1, None]


def test_a_version_that_says_the_same_is_no_way_back() -> None:
    """Switched off and on again, the way back is not the share in force under another name."""
    control = ramped(1, 25)
    control.deploy(on(25), actor="me", reason="on")
    assert go_back(control) == 1


def test_another_treatment_of_as_many_users_is_a_way_back_once() -> None:
    """It raises no exposure; and what a rollback left is left for good."""
    control = ramped(1, 25)
    control.deploy(on(25).model_copy(update={"alpha": 0.1}), actor="me", reason="console")
    assert [go_back(control) for _ in range(3)] == [25, 1, None]


def test_a_shadow_is_not_rolled_back_to_what_serves() -> None:
    """Fewer users, and all of them served what so far was only tried out."""
    control = ramped(1)
    control.deploy(on(50).model_copy(update={"mode": "shadow"}), actor="me", reason="ramp")
    assert go_back(control) is None


def test_a_new_climb_is_a_new_way_back() -> None:
    """What was left is bad, and what was deployed since and stood is not."""
    control = ramped(1, 25)
    assert go_back(control) == 1
    control.deploy(on(5), actor="me", reason="percent 5")
    control.deploy(on(50), actor="me", reason="percent 50")
    assert [go_back(control) for _ in range(2)] == [5, 1]


def test_from_what_cannot_be_read_the_way_back_is_what_environments_keep() -> None:
    """The newest readable document, also where that is off; unless that was left for bad."""
    control = ramped(1, 25)
    by_console(control, UNREADABLE)
    assert go_back(control) == 25
    control = ramped(1, 25)
    control.deploy(FlagDocument(percent=25), actor="me", reason="off")
    by_console(control, UNREADABLE)
    assert go_back(control) == 0


def test_documents_are_read_one_by_one_and_no_more_than_it_takes() -> None:
    """Of a hundred versions, the one in force and the one before."""
    control = ramped(*(number / 2 for number in range(1, 101)))
    read: list[str] = []

    def document(version: str) -> FlagDocument:
        read.append(version)
        return control.document(version)

    back = rollback_target(control.deployments(), document)
    assert back is not None
    assert (back[0].version, read) == ("99", ["100", "99"])


@given(st.lists(st.sampled_from([*PERCENTS, "off", "on", "rollback", "undo", "console"]), max_size=25))
def test_a_rollback_never_raises_exposure_and_never_returns_to_what_was_left(story: list[float | str]) -> None:
    """However the flag came to where it is, and it always ends."""
    control = ramped(1)
    left = set()
    served = on(1)
    for step in story:
        deployed = control.deployed()
        served = deployed.document or served
        if step == "undo" and deployed.latest_number > 1 and deployed.newest == deployed.deployment:
            left.add(control.history(1)[0].version)
            control.become("ROLLED_BACK")
            served = control.deployed().document or served
        elif step == "rollback":
            back = found(control)
            if back is not None:
                assert deployed.deployment is not None
                left.add(deployed.deployment.version)
                assert back[0].version not in left
                assert back[1] != deployed.document
                assert deployed.document is None or exposure(back[1]) <= exposure(deployed.document)
                control.redeploy(back[0].version, actor="me", reason="rollback", since=deployed)
        elif step == "off":
            if deployed.deployment is not None and switch_off(control, actor="me", reason="off") is not None:
                left.add(deployed.deployment.version)
        elif step == "console":
            by_console(control, UNREADABLE)
        elif step == "on":
            control.deploy(served.model_copy(update={"enabled": True}), actor="me", reason="on")
        elif isinstance(step, float):
            after = on(step)
            if deployed.deployment and deployed.document and exposure(after) < exposure(deployed.document):
                left.add(deployed.deployment.version)
            control.deploy(after, actor="me", reason=f"percent {step:g}")


class Contested(InMemoryControl):
    """A flag that somebody else changes between every look and every change, for a while."""

    def __init__(self, rivals: int) -> None:
        self._rivals = iter(range(0))
        super().__init__(ManualClock(), on(5))
        self._rivals = iter(range(rivals))

    def deployed(self) -> DeployedFlag:
        """What was in force just before the rival's change."""
        seen = super().deployed()
        if next(self._rivals, None) is not None:
            super().deploy(on(50), actor="rival", reason="percent 50", since=seen)
        return seen


def test_off_wins_the_races_that_it_loses_at_first() -> None:
    """It looks again as often as it takes, within reason; and says who is in the way where it does not."""
    control = Contested(ATTEMPTS - 1)
    assert switch_off(control, actor="me", reason="off") is not None
    assert is_off(control.deployed())
    with pytest.raises(RolloutRefused, match="rival"):
        switch_off(Contested(ATTEMPTS), actor="me", reason="off")


def test_off_need_not_look_where_its_caller_has() -> None:
    """What the caller saw is good for the first attempt, and no obstacle if it is old."""
    control = ramped(5)
    seen = control.deployed()
    control.deploy(on(50), actor="me", reason="percent 50")
    made = switch_off(control, actor="me", reason="off", since=seen)
    assert made is not None
    assert control.deployed().document == FlagDocument(percent=50)


def test_what_is_off_is_left_alone() -> None:
    """Unless something in flight may still treat somebody."""
    control = ramped(5)
    assert switch_off(control, actor="me", reason="off") is not None
    assert switch_off(control, actor="me", reason="off") is None
    control.deploy(on(50), actor="me", reason="percent 50")
    control.become("ROLLING_BACK")
    assert switch_off(control, actor="me", reason="off") is not None
    assert [entry.state for entry in control.history(2)] == ["COMPLETE", "ROLLED_BACK"]


def test_where_nothing_was_deployed_there_is_nothing_to_switch_off() -> None:
    """Everyone gets the baseline without a document, too."""
    with pytest.raises(RolloutRefused, match="baseline"):
        switch_off(InMemoryControl(ManualClock()), actor="me", reason="off")


@pytest.mark.parametrize(
    ("control", "off"),
    [(lambda: ramped(5, 25), FlagDocument(percent=25)), (lambda: InMemoryControl(ManualClock()), FlagDocument())],
)
def test_off_replaces_what_cannot_be_read(control: Callable[[], InMemoryControl], off: FlagDocument) -> None:
    """With the newest document that can be, switched off, or with one that treats nobody."""
    flag = control()
    by_console(flag, UNREADABLE)
    assert "percent" in (flag.deployed().unreadable or "")
    assert switch_off(flag, actor="me", reason="off") is not None
    assert flag.deployed().document == off
