"""What is in flight, what bakes, and what a description may hold."""

import pytest

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.deployments import Deployment, described
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import raises_exposure

OFF = FlagDocument(percent=50)
FIVE, FIFTY = (FlagDocument(enabled=True, percent=percent) for percent in (5, 50))
SHADOW = FlagDocument(enabled=True, percent=50, mode="shadow")


@pytest.mark.parametrize(
    ("before", "after", "rises"),
    [
        (FIVE, FIFTY, True),
        (FIFTY, FIVE, False),
        (OFF, FIVE, True),
        (FIFTY, OFF, False),
        (SHADOW, FIVE, True),
        (SHADOW, OFF, False),
        (FIFTY, SHADOW, False),
        (FIFTY, FIFTY.model_copy(update={"alpha": 0.1}), False),
        (None, FIFTY, False),
    ],
)
def test_a_rise_treats_more_users_or_serves_what_was_in_shadow(
    before: FlagDocument | None, after: FlagDocument, rises: bool
) -> None:
    """And nothing is before a first document, so it cannot be one."""
    assert raises_exposure(before, after) is rises


def test_what_is_in_flight_says_for_how_long() -> None:
    """Where the strategy says so, and until then; a rollback has no such time."""
    baking = Deployment(
        3, "3", "v3", "BAKING", "me: percent 5", "2026-11-25T12:00:00+00:00", "2026-11-25T12:05:00+00:00"
    )
    began_s = baking.started_at_s
    assert baking.doing(began_s + 60) == "deployment 3 is BAKING, for at most 240 s more: me: percent 5"
    assert baking.doing(began_s + 301) == "deployment 3 is BAKING: me: percent 5"
    assert Deployment(3, "3", "", "DEPLOYING", "x", "", "").doing(began_s) == "deployment 3 is DEPLOYING: x"


def test_a_description_is_one_line_of_limited_length() -> None:
    """Whatever white space a reason has."""
    assert described("me", "off (hangs\n\t at 3)") == "me: off (hangs at 3)"
    assert len(described("me", "x" * 2000)) == 1024


def test_only_what_lowers_exposure_has_to_end_by_itself() -> None:
    """Stopping it would bring the larger share back; a rise may be stopped, and a rollback runs already."""
    control = InMemoryControl(ManualClock(), FIVE)
    assert not control.deployed().must_end
    control.deploy(FIFTY, actor="me", reason="percent 50")
    control.become("BAKING")
    assert not control.deployed().must_end
    control.become("ROLLING_BACK")
    assert control.deployed().must_end
    assert control.deployed().document == FIVE
    control.become("COMPLETE")
    control.deploy(FIVE, actor="me", reason="percent 5")
    control.become("DEPLOYING")
    assert control.deployed().must_end
