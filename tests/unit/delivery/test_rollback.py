"""Lowering exposure at once: which version a rollback returns to, and that nothing keeps `off` from working."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.change_record import GUARD, ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment
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
        control.deploy(on(percent), ChangeRecord("me", f"percent {percent:g}"))
    return control


def target(control: InMemoryControl) -> tuple[Deployment, FlagDocument] | None:
    """What a rollback would return to."""
    return rollback_target(control.deployments(), control.document)


def go_back(control: InMemoryControl) -> float | None:
    """The percentage after a rollback, None if there is nothing to go back to."""
    back = target(control)
    if back is None:
        return None
    good, document = back
    control.redeploy(good.version, ChangeRecord("me", f"rollback to {good.label}"), since=control.deployed())
    return document.percent if document.enabled else 0.0


def by_console(control: InMemoryControl, content: bytes) -> None:
    """Puts a document into force that no model has checked."""
    control.redeploy(str(control.create_version(content)), ChangeRecord("", ""), since=control.deployed())


def test_going_back_twice_goes_back_twice() -> None:
    """It does not return to what was rolled back from first. At the beginning there is nothing to go back to."""
    control = ramped(1, 5, 25)
    assert [go_back(control) for _ in range(3)] == [5, 1, None]


def test_a_rollback_never_returns_to_what_was_undone() -> None:
    """AppConfig rolled 25 % back, or is about to: from 5 % a rollback returns to 1 %."""
    for state in ("ROLLED_BACK", "ROLLING_BACK"):
        control = ramped(1, 5, 25)
        control.become(state)
        assert go_back(control) == 1


@pytest.mark.parametrize("actor", ["me", GUARD])
def test_after_off_there_is_nothing_to_go_back_to(actor: str) -> None:
    """Everyone gets the baseline already, and every other version treats more users."""
    control = ramped(1, 5, 25)
    control.deploy(FlagDocument(percent=25), ChangeRecord(actor, "whatever the words"))
    assert go_back(control) is None


def test_a_rollback_does_not_return_to_a_percentage_that_was_lowered_by_hand() -> None:
    """After 50 %, 5 % and off there is nothing; and from a new 60 % it returns to 5 %, not to 50 %."""
    control = ramped(1, 50, 5)
    control.deploy(FlagDocument(percent=5), ChangeRecord("me", "off"))
    assert go_back(control) is None
    control = ramped(1, 50, 5, 60)
    assert [go_back(control) for _ in range(3)] == [5, 1, None]


def test_a_rollback_does_not_return_to_an_equal_document() -> None:
    """After off and on again, the document in force exists under two versions."""
    control = ramped(1, 25)
    control.deploy(on(25), ChangeRecord("me", "on"))
    assert go_back(control) == 1


def test_a_rollback_returns_once_to_another_treatment_of_as_many_users() -> None:
    """That raises no exposure, and what was rolled back from stays bad."""
    control = ramped(1, 25)
    control.deploy(on(25).model_copy(update={"alpha": 0.1}), ChangeRecord("me", "console"))
    assert [go_back(control) for _ in range(3)] == [25, 1, None]


def test_a_shadow_is_not_rolled_back_to_what_serves() -> None:
    """Fewer users would be treated, but each of them would be served what was in shadow."""
    control = ramped(1)
    control.deploy(on(50).model_copy(update={"mode": "shadow"}), ChangeRecord("me", "ramp"))
    assert go_back(control) is None


def test_a_rollback_returns_to_what_was_deployed_since_the_last_one() -> None:
    """What was rolled back from is bad, and what was deployed after it is not."""
    control = ramped(1, 25)
    assert go_back(control) == 1
    control.deploy(on(5), ChangeRecord("me", "percent 5"))
    control.deploy(on(50), ChangeRecord("me", "percent 50"))
    assert [go_back(control) for _ in range(2)] == [5, 1]


def test_from_what_cannot_be_read_a_rollback_returns_to_what_environments_keep() -> None:
    """That is the newest readable document, even if it is off."""
    control = ramped(1, 25)
    by_console(control, UNREADABLE)
    assert go_back(control) == 25
    control = ramped(1, 25)
    control.deploy(FlagDocument(percent=25), ChangeRecord("me", "off"))
    by_console(control, UNREADABLE)
    assert go_back(control) == 0


def test_no_more_documents_are_read_than_necessary() -> None:
    """Of a hundred versions only the one in force, and the one before."""
    control = ramped(*(number / 2 for number in range(1, 101)))
    read: list[str] = []

    def document(version: str) -> FlagDocument:
        read.append(version)
        return control.document(version)

    back = rollback_target(control.deployments(), document)
    assert back is not None
    assert (back[0].version, read) == ("99", ["100", "99"])


@given(st.lists(st.sampled_from([*PERCENTS, "off", "on", "rollback", "undo", "console"]), max_size=25))
def test_a_rollback_never_raises_exposure_and_never_returns_to_what_was_bad(
    story: list[float | str],
) -> None:
    """Whatever happened to the flag before; and a series of rollbacks always ends."""
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
            back = target(control)
            if back is not None:
                assert deployed.deployment is not None
                left.add(deployed.deployment.version)
                assert back[0].version not in left
                assert back[1] != deployed.document
                assert deployed.document is None or exposure(back[1]) <= exposure(deployed.document)
                control.redeploy(back[0].version, ChangeRecord("me", "rollback"), since=deployed)
        elif step == "off":
            if deployed.deployment is not None and switch_off(control, ChangeRecord("me", "off")) is not None:
                left.add(deployed.deployment.version)
        elif step == "console":
            by_console(control, UNREADABLE)
        elif step == "on":
            control.deploy(served.model_copy(update={"enabled": True}), ChangeRecord("me", "on"))
        elif isinstance(step, float):
            after = on(step)
            if deployed.deployment and deployed.document and exposure(after) < exposure(deployed.document):
                left.add(deployed.deployment.version)
            control.deploy(after, ChangeRecord("me", f"percent {step:g}"))


class Contested(InMemoryControl):
    """A flag that somebody else changes between every look and every change, for a while."""

    def __init__(self, rivals: int) -> None:
        self._rivals = iter(range(0))
        super().__init__(ManualClock(), on(5))
        self._rivals = iter(range(rivals))

    def deployed(self) -> DeployedFlag:
        """What was in force before the rival's change."""
        seen = super().deployed()
        if next(self._rivals, None) is not None:
            super().deploy(on(50), ChangeRecord("rival", "percent 50"), since=seen)
        return seen


def test_off_wins_the_races_that_it_loses_at_first() -> None:
    """It reads again and again, up to a limit. The refusal then says who was faster."""
    control = Contested(ATTEMPTS - 1)
    assert switch_off(control, ChangeRecord("me", "off")) is not None
    assert is_off(control.deployed())
    with pytest.raises(RolloutRefused, match="rival"):
        switch_off(Contested(ATTEMPTS), ChangeRecord("me", "off"))


def test_off_takes_what_its_caller_has_read() -> None:
    """That serves the first attempt, and does no harm if it is old."""
    control = ramped(5)
    seen = control.deployed()
    control.deploy(on(50), ChangeRecord("me", "percent 50"))
    made = switch_off(control, ChangeRecord("me", "off"), since=seen)
    assert made is not None
    assert control.deployed().document == FlagDocument(percent=50)


def test_what_is_off_is_left_alone() -> None:
    """Unless a deployment in flight may still treat somebody."""
    control = ramped(5)
    assert switch_off(control, ChangeRecord("me", "off")) is not None
    assert switch_off(control, ChangeRecord("me", "off")) is None
    control.deploy(on(50), ChangeRecord("me", "percent 50"))
    control.become("ROLLING_BACK")
    assert switch_off(control, ChangeRecord("me", "off")) is not None
    assert [entry.state for entry in control.history(2)] == ["COMPLETE", "ROLLED_BACK"]


def test_off_is_refused_if_nothing_was_deployed() -> None:
    """Everyone gets the baseline without a document as well."""
    with pytest.raises(RolloutRefused, match="baseline"):
        switch_off(InMemoryControl(ManualClock()), ChangeRecord("me", "off"))


@pytest.mark.parametrize(
    ("control", "off"),
    [(lambda: ramped(5, 25), FlagDocument(percent=25)), (lambda: InMemoryControl(ManualClock()), FlagDocument())],
)
def test_off_replaces_what_cannot_be_read(control: Callable[[], InMemoryControl], off: FlagDocument) -> None:
    """With the newest readable document, switched off, or with one that treats nobody."""
    flag = control()
    by_console(flag, UNREADABLE)
    assert "percent" in (flag.deployed().unreadable or "")
    assert switch_off(flag, ChangeRecord("me", "off")) is not None
    assert flag.deployed().document == off
