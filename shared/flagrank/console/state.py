"""What the console shows: the flag, the ramp, both arms and the history, as they were read together."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flagrank.delivery.analysis.counts import CountsSource
from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.deployments import DeployedFlag, Deployment, RolloutControl
from flagrank.delivery.lease import Lease, LeaseStore
from flagrank.delivery.observation import Observation, observe, start_observation
from flagrank.errors import CloudError
from flagrank.flags.exposure import treated_percent
from flagrank.ports import Clock

# how far back the figures begin: older ones would dilute what is happening now
WATCHED_S = 900.0
HISTORY = 15


@dataclass(frozen=True, slots=True)
class Ports:
    """What the console reads and changes. `firing_alarm` names an alarm that fires; it raises CloudError.

    A change reaches every environment `propagation_s` after it was made.
    """

    control: RolloutControl
    figures: CountsSource
    leases: Callable[[], LeaseStore]
    firing_alarm: Callable[[], str | None]
    clock: Clock
    propagation_s: float


@dataclass(frozen=True, slots=True)
class State:
    """What was read at `at_s` (epoch s). `problems` say what could not be read."""

    at_s: float
    deployed: DeployedFlag = field(default_factory=DeployedFlag)
    history: Sequence[Deployment] = ()
    observation: Observation | None = None
    lease: Lease | None = None
    alarm: str | None = None
    problems: Sequence[str] = ()

    @property
    def ladder(self) -> Sequence[float]:
        """The percentages of the ramp at work, or of the one that took the step in force; else the one in force."""
        current = self.deployed.deployment
        named = self.lease.ramp if self.lease else current.record.ramp if current else ""
        try:
            steps = [float(part) for part in named.split(",") if part]
        except ValueError:
            steps = []
        percent = self.deployed.document.percent if self.deployed.document else 0.0
        return sorted({*steps, percent} - {0.0})

    @property
    def next_percent(self) -> float | None:
        """The step after the one in force; None at the top."""
        now = treated_percent(self.deployed.document) if self.deployed.document else 0.0
        return next((percent for percent in self.ladder if percent > now), None)


class Reader:
    """Reads the state, at most every `fresh_s` seconds however many pages ask for it."""

    def __init__(self, ports: Ports, limits: Limits, fresh_s: float) -> None:
        self._ports = ports
        self._limits = limits
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._state = State(at_s=float("-inf"))

    def read(self, *, now: bool = False) -> State:
        """The state, read again if it is old, or in any case with `now`."""
        with self._lock:
            if now or self._ports.clock.now() - self._state.at_s >= self._fresh_s:
                self._state = self._read()
            return self._state

    def _read(self) -> State:
        ports, problems = self._ports, []
        now_s = ports.clock.now()
        try:
            deployed, history = ports.control.deployed(), ports.control.history(HISTORY)
        except CloudError as error:
            return State(now_s, problems=[f"the flag cannot be read now: {error}"])
        if deployed.unreadable:
            problems.append(f"the document in force cannot be read: {deployed.unreadable}")
        lease = alarm = observation = None
        try:
            lease = ports.leases().current()
        except CloudError as error:
            problems.append(f"whether somebody's ramp is at work is not known: {error}")
        try:
            alarm = ports.firing_alarm()
        except CloudError as error:
            problems.append(f"whether an alarm fires is not known: {error}")
        try:
            observation = self._observe(deployed, now_s, alarm)
        except CloudError as error:
            problems.append(f"there are no figures now: {error}")
        return State(now_s, deployed, history, observation, lease, alarm, problems)

    def _observe(self, deployed: DeployedFlag, now_s: float, alarm: str | None) -> Observation | None:
        if deployed.document is None or deployed.deployment is None:
            return None
        step = start_observation(deployed.document, deployed.deployment, self._ports.propagation_s, now_s, WATCHED_S)
        return observe(step, self._limits, self._ports.figures, now_s, alarm and f"the alarm {alarm} fires")
