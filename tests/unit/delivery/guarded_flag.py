"""A flag in memory that keeps AppConfig's rules: one deployment at a time, and none by who has not seen the last."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from flagrank.delivery.guard import Alarm, ExposureReduction, Step, Steps, is_lowering
from flagrank.errors import RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import treated_percent

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

    `between_calls` is when others get their turn. While AppConfig's monitor is `armed` and `ringing`, it rolls back
    what is in flight, which is then `rolled_back` with what came back; a rollback lasts for `rollback_calls`. A
    `stop_fails` that says "refused" changes nothing, one that says "lost" did its work. A deployment's beginning and
    the monitor's blindness to it are one call: AppConfig does not look that often.
    """

    minutes: float = 0.0
    between_calls: Callable[[], None] = lambda: None
    ringing: bool = False
    armed: bool = True
    rollback_calls: int = 0
    stop_fails: Callable[[], str] = lambda: ""
    refusals: int = 0
    lowered: list[tuple[FlagDocument, FlagDocument]] = field(default_factory=list)
    rolled_back: list[tuple[FlagDocument, FlagDocument]] = field(default_factory=list)
    served: list[FlagDocument] = field(default_factory=list)
    _steps: list[Step] = field(default_factory=list)
    _undone: list[Step] = field(default_factory=list)
    _rolling: int = 0
    _deployments: int = 0
    _versions: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def deploy(self, document: FlagDocument | None, minutes: float, *, in_flight: bool = False, by: str = "me") -> None:
        """An operator's deployment, which the clock follows; without a document, one that cannot be read."""
        self.between_calls()
        with self._lock:
            self.minutes = minutes
            self._versions += 1
            self._start(document, f"{by}: {treated_percent(document):g}", in_flight)

    def raise_and_bake(self, document: FlagDocument | None, minutes: float) -> None:
        """As `deploy`, but AppConfig's monitor watches it; refused while another is in flight."""
        with self._turn():
            if self._is_busy():
                return
            self.minutes = max(minutes, self.minutes)
            self._versions += 1
            self._start(document, f"me: {treated_percent(document):g}", in_flight=True)
            number = self._deployments
        self.between_calls()
        self._end(number)

    def lower_urgently(self, document: FlagDocument, minutes: float) -> None:
        """An operator's `off`, or less: stops what is in flight, and the monitor is blind meanwhile."""
        with self._turn():
            self.armed = False
            self.minutes = max(minutes, self.minutes)
            if self._steps and self._steps[0].in_flight:
                self._undo()
            self._rolling = 0
            self._versions += 1
            self._start(document, f"me: {document.percent:g}", in_flight=True)
            number = self._deployments
        self.between_calls()
        self._end(number)
        self.rearm()

    def undo(self, minutes: float) -> None:
        """The newest deployment is rolled back."""
        with self._lock:
            self.minutes = minutes
            self._undo()

    def steps(self) -> Steps:
        with self._turn():
            steps = self._seen()
        self.between_calls()
        return steps

    def lower(self, lowering: ExposureReduction, since: Steps) -> None:
        with self._turn():
            self._check(since.latest_version == self._versions, "another version was made")
            self._versions += 1
            self.armed = False
        try:
            self.between_calls()
            if lowering.stop is not None:
                self._stop(lowering.stop)
            while self._rolling:
                with self._turn():
                    pass
            with self._turn():
                self._check(since.latest_deployment == self._deployments, "another deployment was started")
                self._check(not self._is_busy(), "another deployment is in flight")
                self.lowered.append((self.served[-1], lowering.document))
                self._start(lowering.document, lowering.description, in_flight=True)
                self.armed = False
                number = self._deployments
            self.between_calls()
            self._end(number)
        finally:
            self.rearm()

    def rearm(self) -> None:
        """Arms the monitor, unless what is in flight lowers exposure, or is making room."""
        with self._turn():
            self.armed = self.armed or not (self._rolling or is_lowering(self._seen()))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A call: nobody else is at it meanwhile, and AppConfig has looked at its monitor before."""
        with self._lock:
            self._rolling = max(self._rolling - 1, 0)
            if self.ringing and self.armed and self._steps and self._steps[0].in_flight:
                undone = self.served[-1]
                self._undo()
                self.rolled_back.append((undone, self.served[-1]))
            yield

    def _stop(self, number: int) -> None:
        failure = self.stop_fails()
        with self._turn():
            self._check(failure != "refused", "cannot be stopped")
            stopped = next((step for step in self._steps[:1] if step.number == number), None)
            self._check(stopped is not None and stopped.in_flight, "not in flight")
            undone = self.served[-1]
            self._undo()
            self.lowered.append((undone, self.served[-1]))
            self._check(failure != "lost", "no answer came")
        self.between_calls()

    def _end(self, number: int) -> None:
        with self._turn():
            if self._steps and self._steps[0].number == number:
                self._steps[0] = replace(self._steps[0], in_flight=False, ended_at=at(self.minutes))

    def _is_busy(self) -> bool:
        return self._rolling > 0 or (bool(self._steps) and self._steps[0].in_flight)

    def _seen(self) -> Steps:
        return Steps(tuple(self._steps), tuple(self._undone), self._deployments, self._versions)

    def _check(self, expected: bool, otherwise: str) -> None:
        if not expected:
            self.refusals += 1
            raise RolloutRefused(otherwise)

    def _start(self, document: FlagDocument | None, description: str, in_flight: bool) -> None:
        self._deployments += 1
        problem = "" if document else "written by hand"
        step = Step(self._deployments, document, at(self.minutes), None, in_flight, description, problem)
        self._steps.insert(0, step)
        self._serve(document)

    def _undo(self) -> None:
        undone = self._steps.pop(0)
        self._undone.insert(0, replace(undone, ended_at=at(self.minutes), in_flight=False))
        self._rolling = self.rollback_calls
        self._serve(self._steps[0].document if self._steps else OFF)

    def _serve(self, document: FlagDocument | None) -> None:
        # an environment keeps the last document that it could read
        self.served.append(document or (self.served[-1] if self.served else OFF))
