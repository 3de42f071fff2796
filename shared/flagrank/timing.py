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
    """How long each step of one request took, in ms by its name. It starts when it is made."""

    clock: Clock
    elapsed_ms: dict[str, float] = field(default_factory=dict)
    started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_s = self.clock.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times a block, also one that raises. A name that comes twice adds up."""
        started_s = self.clock.monotonic()
        try:
            yield
        finally:
            self.elapsed_ms[name] = self.elapsed_ms.get(name, 0.0) + (self.clock.monotonic() - started_s) * 1000

    def finish(self) -> None:
        """Records the whole as the step `total`."""
        self.elapsed_ms["total"] = (self.clock.monotonic() - self.started_s) * 1000

    def deadline(self, budget_ms: float) -> Deadline:
        """The moment at which a budget that began with this watch is spent."""
        return Deadline(self.clock, self.started_s + budget_ms / 1000)
