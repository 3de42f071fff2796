"""One monotonic deadline, made when the request arrives and handed down."""

from dataclasses import dataclass

from flagrank.ports import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on the clock's monotonic scale (s), after which nothing more may be awaited."""

    clock: Clock
    at_s: float

    @classmethod
    def after(cls, clock: Clock, budget_ms: float) -> "Deadline":
        """A deadline `budget_ms` from now."""
        return cls(clock, clock.monotonic() + budget_ms / 1000)

    def remaining_ms(self) -> float:
        """What is left, never below 0."""
        return max(0.0, (self.at_s - self.clock.monotonic()) * 1000)

    def reserve(self, reserved_ms: float) -> "Deadline":
        """A deadline that much earlier, so that what follows still fits."""
        return Deadline(self.clock, self.at_s - reserved_ms / 1000)
