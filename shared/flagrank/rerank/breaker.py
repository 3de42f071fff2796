"""A circuit breaker per environment: stops asking what fails, and probes it again later."""

from flagrank.ports import Clock

FAILURES_TO_OPEN = 5
# so that what has recovered is in use within 10 s
PROBE_AFTER_S = 5.0


class Breaker:
    """Opens after so many failures in a row; then lets one probe through every `probe_after_s` until one succeeds."""

    def __init__(
        self, clock: Clock, failures_to_open: int = FAILURES_TO_OPEN, probe_after_s: float = PROBE_AFTER_S
    ) -> None:
        self._clock = clock
        self._failures_to_open = failures_to_open
        self._probe_after_s = probe_after_s
        self._failures = 0
        self._probe_at_s = 0.0

    def is_open(self) -> bool:
        """Whether it has been failing, and has not succeeded since."""
        return self._failures >= self._failures_to_open

    def refuses(self) -> bool:
        """Whether `allows` would say no; unlike that, it is no probe."""
        return self.is_open() and self._clock.monotonic() < self._probe_at_s

    def allows(self) -> bool:
        """Whether to call now; while open, a True is the probe and puts the next one off."""
        if not self.is_open():
            return True
        if self._clock.monotonic() < self._probe_at_s:
            return False
        self._probe_at_s = self._clock.monotonic() + self._probe_after_s
        return True

    def record(self, success: bool) -> None:
        """Counts one outcome."""
        if success:
            self.succeeded()
        else:
            self.failed()

    def succeeded(self) -> None:
        """Closes the breaker."""
        self._failures = 0

    def failed(self) -> None:
        """Counts a failure; the one that opens the breaker starts the wait for the first probe."""
        self._failures += 1
        if self.is_open():
            self._probe_at_s = self._clock.monotonic() + self._probe_after_s
