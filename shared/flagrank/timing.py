"""Time within a request: one monotonic deadline, handed down, and what each step took."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flagrank.ports import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on the clock's monotonic scale (s), after which nothing more may be awaited."""

    clock: Clock
    at_s: float

    def remaining_ms(self) -> float:
        """What is left, never below 0."""
        return max(0.0, (self.at_s - self.clock.monotonic()) * 1000)


@dataclass(slots=True)
class StepWatch:
    """How long each step took, in ms by its name."""

    clock: Clock
    elapsed_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times a block, also one that raises."""
        started_s = self.clock.monotonic()
        try:
            yield
        finally:
            self.elapsed_ms[name] = (self.clock.monotonic() - started_s) * 1000
