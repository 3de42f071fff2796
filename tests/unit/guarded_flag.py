"""A flag in memory that keeps AppConfig's rules: one deployment at a time, and none by who has not seen the last."""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from flagrank.errors import RolloutRefused
from flagrank.guard import Alarm, Lowering, Step, Steps
from flagrank.rollout import FlagDocument

BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def at(minutes: float) -> dt.datetime:
    """A moment, in minutes since the story began."""
    return BEGAN + dt.timedelta(minutes=minutes)


def on(percent: float) -> FlagDocument:
    """A document that treats a share."""
    return FlagDocument(enabled=True, percent=percent)


OFF = FlagDocument()


def alarm(minutes: float, state: str = "ALARM", name: str = "worse") -> Alarm:
    """An alarm that changed its state at a moment."""
    return Alarm.model_validate({"alarmName": name, "state": {"value": state, "timestamp": at(minutes).isoformat()}})


@dataclass
class FlagInMemory:
    """The flag, every document that was in force, in order, and each of the guard's with its predecessor.

    `between_calls` is when others get their turn.
    """

    minutes: float = 0.0
    between_calls: Callable[[], None] = lambda: None
    refusals: int = 0
    lowered: list[tuple[FlagDocument, FlagDocument]] = field(default_factory=list)
    served: list[FlagDocument] = field(default_factory=list)
    _steps: list[Step] = field(default_factory=list)
    _undone: list[Step] = field(default_factory=list)
    _deployments: int = 0
    _versions: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def deploy(self, document: FlagDocument, minutes: float, *, in_flight: bool = False, by: str = "me") -> None:
        """An operator's deployment, which the clock follows."""
        self.between_calls()
        with self._lock:
            self.minutes = minutes
            self._versions += 1
            self._start(document, f"{by}: {document.percent:g}", in_flight)

    def undo(self, minutes: float) -> None:
        """The newest deployment is rolled back."""
        with self._lock:
            self.minutes = minutes
            self._undo()

    def steps(self) -> Steps:
        with self._lock:
            steps = Steps(tuple(self._steps), tuple(self._undone), self._deployments, self._versions)
        self.between_calls()
        return steps

    def lower(self, lowering: Lowering, since: Steps) -> None:
        with self._lock:
            self._check(since.latest_version == self._versions, "another version was made")
            self._versions += 1
        self.between_calls()
        if lowering.stop is not None:
            with self._lock:
                stopped = next((step for step in self._steps[:1] if step.number == lowering.stop), None)
                self._check(stopped is not None and stopped.in_flight, "not in flight")
                self._undo()
            self.between_calls()
        with self._lock:
            self._check(since.latest_deployment == self._deployments, "another deployment was started")
            self.lowered.append((self.served[-1], lowering.document))
            self._start(lowering.document, lowering.description, in_flight=False)

    def _check(self, expected: bool, otherwise: str) -> None:
        if not expected:
            self.refusals += 1
            raise RolloutRefused(otherwise)

    def _start(self, document: FlagDocument, description: str, in_flight: bool) -> None:
        self._deployments += 1
        self._steps.insert(0, Step(self._deployments, document, at(self.minutes), None, in_flight, description))
        self._undone.clear()
        self.served.append(document)

    def _undo(self) -> None:
        undone = self._steps.pop(0)
        ended = at(self.minutes)
        self._undone.append(Step(undone.number, undone.document, undone.started_at, ended, False, undone.description))
        self.served.append(self._steps[0].document if self._steps else OFF)
