"""What the guard's tests share: moments, alarms, and an in-memory flag that others change at known minutes."""

import datetime as dt

from flagrank.adapters.control.in_memory import InMemoryControl
from flagrank.adapters.in_memory import ManualClock
from flagrank.delivery.alarm import Alarm
from flagrank.delivery.change_record import ChangeRecord
from flagrank.flags.document import FlagDocument

BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
OFF = FlagDocument()


def at(minutes: float) -> dt.datetime:
    """A moment, in minutes since the story began."""
    return BEGAN + dt.timedelta(minutes=minutes)


def on(percent: float) -> FlagDocument:
    """A document that treats a percentage of the users."""
    return FlagDocument(enabled=True, percent=percent)


def alarm(minutes: float, state: str = "ALARM", name: str = "worse") -> Alarm:
    """An alarm that changed its state at a moment."""
    return Alarm.model_validate({"alarmName": name, "state": {"value": state, "timestamp": at(minutes).isoformat()}})


class Story(InMemoryControl):
    """A flag in memory, and a clock that stands still between the changes."""

    def __init__(self) -> None:
        self.clock = ManualClock(BEGAN.timestamp())
        super().__init__(self.clock)

    def move_to(self, minutes: float) -> None:
        """Moves the clock to a minute of the story."""
        self.clock.advance(at(minutes).timestamp() - self.clock.now())

    def operate(self, document: FlagDocument | None, minutes: float, *, in_flight: bool = False) -> None:
        """An operator's deployment; without a document, one that cannot be read."""
        self.move_to(minutes)
        record = ChangeRecord("me", "a step")
        if document is None:
            version = str(self.create_version(b'{"enabled": true, "percent": 12.345}'))
            self.redeploy(version, record, since=self.deployed())
        else:
            self.deploy(document, record)
        if in_flight:
            self.become("BAKING")

    def undo(self, minutes: float) -> None:
        """AppConfig rolls the newest deployment back."""
        self.move_to(minutes)
        self.become("ROLLED_BACK")

    def in_force(self) -> FlagDocument:
        """The document in force, which can be read."""
        document = self.deployed().document
        assert document is not None
        return document


def ramped(*percents: float, step_minutes: float = 20) -> Story:
    """A flag that was ramped up, the first step at minute 0."""
    story = Story()
    for place, percent in enumerate(percents):
        story.operate(on(percent), place * step_minutes)
    return story
