"""The progress of a step as lines of a log, for where no terminal shows a bar."""

from dataclasses import dataclass

LINE_EVERY_S = 15.0


@dataclass(slots=True)
class StepLines:
    """The lines of one step: when it begins, every LINE_EVERY_S with how long the rest takes, and at its end."""

    name: str
    _began_s: float | None = None
    _said_s: float = 0.0
    _is_over: bool = False

    def line(self, done: int, total: int, now_s: float) -> str | None:
        """What to say of so much that is done by now, on a clock in seconds; None if nothing is to be said yet."""
        is_first = self._began_s is None
        if self._began_s is None:
            self._began_s = self._said_s = now_s
        spent_s = now_s - self._began_s
        if done >= total:
            is_new, self._is_over = not self._is_over, True
            took = "" if is_first else f", {duration(spent_s)}"
            return f"{self.name}: {done} of {total}{took}" if is_new else None
        if not is_first and now_s - self._said_s < LINE_EVERY_S:
            return None
        self._said_s = now_s
        left = f", about {duration(spent_s / done * (total - done))} left" if done and not is_first else ""
        return f"{self.name}: {done} of {total}{left}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
