"""The way back: which version a rollback returns to."""

from hypothesis import given
from hypothesis import strategies as st

from flagrank.adapters.in_memory import ManualClock
from flagrank.adapters.in_memory_control import InMemoryControl
from flagrank.deployments import way_back
from flagrank.guard import ACTOR
from flagrank.rollout import FlagDocument

PERCENTS = (1.0, 5.0, 25.0, 50.0)


def ramped(*percents: float) -> InMemoryControl:
    """A flag that was raised step by step."""
    control = InMemoryControl(ManualClock())
    for percent in percents:
        control.deploy(FlagDocument(enabled=True, percent=percent), actor="me", reason=f"percent {percent:g}")
    return control


def go_back(control: InMemoryControl) -> float | None:
    """The share after a rollback, None where there is no way back."""
    good = way_back(control.history(50))
    if good is None:
        return None
    control.redeploy(good.version, actor="me", reason=f"rollback to {good.label}", since=control.deployed())
    return control.document(good.version).percent


def test_going_back_twice_goes_back_twice() -> None:
    """And not to what was left the first time; at the beginning there is no way back."""
    control = ramped(1, 5, 25)
    assert [go_back(control) for _ in range(3)] == [5, 1, None]


def test_what_was_undone_is_never_returned_to() -> None:
    """AppConfig rolled 25 back: the way back from 5 is 1."""
    control = ramped(1, 5, 25)
    control.become("ROLLED_BACK")
    assert go_back(control) == 1


def test_after_a_kill_the_way_back_leads_below_what_was_killed() -> None:
    """`off` left 25 for bad, and so did the guard."""
    for actor, reason in (("me", "off (it hurts)"), (ACTOR, "flagrank-RerankUnhealthy in ALARM")):
        control = ramped(1, 5, 25)
        control.deploy(FlagDocument(percent=25), actor=actor, reason=reason)
        assert go_back(control) == 5


def test_a_new_climb_is_a_new_way_back() -> None:
    """What was left is bad, and what was deployed since and stood is not."""
    control = ramped(1, 25)
    assert go_back(control) == 1
    control.deploy(FlagDocument(enabled=True, percent=5), actor="me", reason="percent 5")
    control.deploy(FlagDocument(enabled=True, percent=50), actor="me", reason="percent 50")
    assert [go_back(control) for _ in range(2)] == [5, 1]


@given(st.lists(st.sampled_from([*PERCENTS, "rollback", "undo"]), max_size=25))
def test_a_rollback_never_returns_to_what_was_left(story: list[float | str]) -> None:
    """However the flag came to where it is, and it always ends."""
    control = ramped(1)
    left = set()
    for step in story:
        standing = control.deployed().deployment
        assert standing is not None
        if step == "undo" and control.deployed().latest_number > 1:
            left.add(control.history(1)[0].version)
            control.become("ROLLED_BACK")
        elif step == "rollback":
            good = way_back(control.history(1000))
            if good is not None:
                left.add(standing.version)
                assert good.version not in left
                control.redeploy(good.version, actor="me", reason="rollback", since=control.deployed())
        elif isinstance(step, float):
            control.deploy(FlagDocument(enabled=True, percent=step), actor="me", reason=f"percent {step:g}")
