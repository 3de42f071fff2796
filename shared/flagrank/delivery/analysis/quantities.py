"""What is added up over an arm's requests, and from which metrics."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from flagrank.delivery.analysis.eprocess import Float64Array, Values
from flagrank.metric_names import FeedbackMetric, MetricName

type EmittedMetric = MetricName | FeedbackMetric
# of one arm, by the name of a Count; whoever simulates many looks has arrays
type CountsByName = Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class Count:
    """One number of an arm that adds up over requests, minutes and environments: the sum of its metrics' values.

    With `above`, it is how many values exceed that number. With `is_amount`, values are amounts and not whole numbers.
    With `is_squared`, the squares of the values are summed.
    """

    name: str
    metrics: tuple[EmittedMetric, ...]
    above: float | None = None
    is_amount: bool = False
    is_squared: bool = False

    @property
    def counts(self) -> tuple["Count", ...]:
        """See Quantity."""
        return (self,)

    def of(self, counts: CountsByName) -> Values:
        """The arm's number."""
        return counts[self.name]


@dataclass(frozen=True, slots=True)
class Ladder:
    """How many values of a metric lie above each rung."""

    name: str
    metric: EmittedMetric
    rungs: tuple[int, ...]

    @property
    def counts(self) -> tuple[Count, ...]:
        """See Quantity."""
        return tuple(Count(f"{self.name}_{rung}", (self.metric,), above=rung) for rung in self.rungs)

    def of(self, counts: CountsByName) -> Float64Array:
        """The arm's numbers, with the rungs along the last axis."""
        return np.stack([np.asarray(counts[count.name], np.float64) for count in self.counts], axis=-1)

    def by_name(self, values: Iterable[float]) -> dict[str, float]:
        """One number for each rung, by the names of the counts; raises ValueError for a ladder of another length."""
        return {count.name: value for count, value in zip(self.counts, values, strict=True)}


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum of amounts, and of their squares. A source may overstate the squares: the largest amount times the sum."""

    name: str
    metric: EmittedMetric

    @property
    def counts(self) -> tuple[Count, ...]:
        """See Quantity."""
        total = Count(self.name, (self.metric,), is_amount=True)
        return total, Count(f"{self.name}_squared", (self.metric,), is_amount=True, is_squared=True)


# whatever has `counts`, the numbers by which it is kept
type Quantity = Count | Ladder | Amount
