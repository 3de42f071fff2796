"""What is counted of an arm, and where the counts come from."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flagrank.delivery.analysis.measures import COUNTS, QUANTITIES, REQUESTS, USERS
from flagrank.delivery.analysis.quantities import Ladder


class ArmCounts(Mapping[str, float]):
    """One arm's counts since the step began, by the names of the table's counts; a count that is not given is 0.

    They add up over minutes and environments, except for `users`. Raises ValueError for a name that the table does not
    have, and for a number that is no count.
    """

    __slots__ = ("_counts",)

    def __init__(self, **counts: float) -> None:
        self._counts = {count.name: counts.pop(count.name, 0) for count in COUNTS}
        if counts or not all(0 <= count < math.inf for count in self._counts.values()):
            raise ValueError(f"not counts: {counts or self._counts}")

    def __getitem__(self, name: str) -> float:
        return self._counts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return f"ArmCounts({', '.join(f'{name}={count}' for name, count in self.items() if count)})"

    @property
    def requests(self) -> int:
        """The requests that were answered, or should have been."""
        return int(self[REQUESTS.name])

    @property
    def users(self) -> int:
        """The unique users whom the flag's percentage placed."""
        return int(self[USERS.name])

    def document(self) -> dict[str, Any]:
        """The counts for JSON, in which a ladder is one list."""
        entries: dict[str, Any] = {}
        for quantity in QUANTITIES:
            counts = {count.name: self[count.name] for count in quantity.counts}
            entries |= {quantity.name: list(counts.values())} if isinstance(quantity, Ladder) else counts
        return entries

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ArmCounts":
        """The counts of a document; raises ValueError for what is none."""
        counts = dict(document)
        for quantity in QUANTITIES:
            if isinstance(quantity, Ladder):
                counts |= quantity.by_name(counts.pop(quantity.name, [0] * len(quantity.rungs)))
        return cls(**counts)


@dataclass(frozen=True, slots=True)
class Arms:
    """Both arms' counts of the same time."""

    treatment: ArmCounts = field(default_factory=ArmCounts)
    control: ArmCounts = field(default_factory=ArmCounts)

    def document(self) -> dict[str, Any]:
        """Both arms for JSON."""
        return {"treatment": self.treatment.document(), "control": self.control.document()}


class CountsSource(Protocol):
    """Where the counts of both arms come from."""

    def read(self, since_s: float, until_s: float) -> Arms:
        """The requests answered between two times in epoch seconds; raises CloudError where nobody knows.

        `users` leaves out the users on the flag's lists: the percentage does not place them.
        """
