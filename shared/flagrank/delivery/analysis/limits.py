"""What is tolerated of a step, and how sure the judge has to be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from flagrank.delivery.analysis.measures import MEASURES, Harm, Limit, Metric


@dataclass(frozen=True, slots=True)
class Limits:
    """What is tolerated, and how sure the judge has to be. A measure that `by_metric` leaves out has its usual limit.

    `false_fail`: the chance that a ramp of so many `steps`, all within limits, fails anywhere, over all measures and
    looks. `false_pass`: the chance that a step beyond a limit passes. `false_split`: the p-value below which a split
    of users is wrong. `min_requests`: what each arm needs before a step passes. Raises ValueError for what is no limit.
    """

    by_metric: Mapping[Metric, Limit] = field(default_factory=dict)
    false_fail: float = 0.05
    false_pass: float = 0.05
    false_split: float = 0.001
    steps: int = 5
    min_requests: int = 100

    def __post_init__(self) -> None:
        usual = {measure.metric: measure.limit for measure in MEASURES}
        if unknown := self.by_metric.keys() - usual.keys():
            raise ValueError(f"no limit applies to {', '.join(sorted(unknown))}")
        object.__setattr__(self, "by_metric", {**usual, **self.by_metric})
        for chance in (self.false_fail, self.false_pass, self.false_split):
            if not 0 < chance < 1:
                raise ValueError(f"a chance lies between 0 and 1: {chance}")
        if self.steps < 1 or self.min_requests < 1:
            raise ValueError("steps and min_requests are at least 1")
        for measure in MEASURES:
            if measure.harm is Harm.LOSS and self[measure.metric].ceiling is not None:
                raise ValueError(f"{measure.metric} have no ceiling: a loss is compared with control")
            if measure.harm is Harm.RISE and self[measure.metric].floor is not None:
                raise ValueError(f"{measure.metric} have no floor: it is a rise that does harm")

    def __getitem__(self, metric: Metric) -> Limit:
        return self.by_metric[metric]

    @property
    def fail_log(self) -> float:
        """The natural log of the evidence that fails a limit: the steps and the limits share `false_fail`."""
        limits = self.by_metric.values()
        comparisons = sum(part is not None for limit in limits for part in (limit.absolute, limit.ceiling, limit.floor))
        return math.log(self.steps * max(comparisons, 1) / self.false_fail)

    @property
    def pass_log(self) -> float:
        """The natural log of the evidence that a measure is within its limit: a pass takes all of them."""
        return -math.log(self.false_pass)
