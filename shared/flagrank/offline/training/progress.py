"""How long work tells how far it is."""

from collections.abc import Callable

# the step's name, how much of it is done, and how much there is
type Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Tells nobody."""
