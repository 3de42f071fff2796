"""A deployment's progress, and what has to end by itself."""

import datetime as dt

import pytest

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import Deployment
from flagrank.flags.document import FlagDocument

OFF = FlagDocument(percent=50)
FIVE, FIFTY = (FlagDocument(enabled=True, percent=percent) for percent in (5, 50))
BEGAN = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
UNREADABLE = b'{"enabled": true, "percent": 12.345}'


def test_a_deployment_in_flight_says_for_how_long() -> None:
    """If the strategy says so, and until that time is over. A rollback has no such time."""
    record = ChangeRecord("me", "percent 5")
    baking = Deployment(3, "3", "v3", "BAKING", record, BEGAN, ends_at=BEGAN + dt.timedelta(minutes=5))
    began_s = baking.started_at_s
    assert baking.progress(began_s + 60) == "deployment 3 is BAKING, for at most 240 s more: me: percent 5"
    assert baking.progress(began_s + 301) == "deployment 3 is BAKING: me: percent 5"
    assert Deployment(3, "3", "", "DEPLOYING", record, BEGAN).progress(began_s) == (
        "deployment 3 is DEPLOYING: me: percent 5"
    )


def deploy(control: InMemoryControl, document: FlagDocument | bytes) -> None:
    """A deployment; bytes are put there without Flagrank."""
    record = ChangeRecord("me", "test")
    if isinstance(document, FlagDocument):
        control.deploy(document, record)
    else:
        control.redeploy(str(control.create_version(document)), record, since=control.deployed())


@pytest.mark.parametrize(
    ("before", "after", "lowers"),
    [
        (FIFTY, FIVE, True),
        (FIFTY, OFF, True),
        (UNREADABLE, FIVE, True),
        (FIVE, FIFTY, False),
        (OFF, OFF, False),
        (FIVE, UNREADABLE, False),
        (None, OFF, False),
    ],
)
def test_what_lowers_exposure_has_to_end_by_itself(
    before: FlagDocument | bytes | None, after: FlagDocument | bytes, lowers: bool
) -> None:
    """Stopping it would bring a larger exposure back. What cannot be read counts as everybody."""
    control = InMemoryControl(ManualClock())
    for document in (before, after):
        if document is not None:
            deploy(control, document)
    control.become("DEPLOYING")
    assert (control.deployed().is_lowering, control.deployed().must_end) == (lowers, lowers)
    control.become("COMPLETE")
    assert not control.deployed().must_end


def test_a_rollback_has_to_end_by_itself() -> None:
    """AppConfig does not stop it."""
    control = InMemoryControl(ManualClock(), FIVE)
    deploy(control, FIFTY)
    control.become("ROLLING_BACK")
    deployed = control.deployed()
    assert (deployed.document, deployed.is_lowering, deployed.must_end) == (FIVE, False, True)
