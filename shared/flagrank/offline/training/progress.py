"""How long computations report their progress."""

from collections.abc import Callable

# called with the step's name, how much of it is done, and how much there is
type Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Reports nothing."""
