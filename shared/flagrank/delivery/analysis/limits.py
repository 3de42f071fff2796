"""What is tolerated of a step, and how sure the judge has to be."""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limit:
    """What a treated figure may be: control * (1 + relative) + absolute, and `ceiling` whatever control does.

    None for either leaves that comparison out.
    """

    absolute: float | None = None
    relative: float = 0.0
    ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is tolerated, and how sure the judge has to be.

    Shares are 0..1, `p95_ms` ms, `cost_micro_usd` micro-USD a request; of `clicks`, the share of shown requests that
    were clicked, the limit is what may be lost, and it has no ceiling.

    `false_fail`: the chance that a ramp of so many `steps`, all within limits, fails anywhere, over all figures and
    looks. `false_pass`: the chance that a step beyond a limit passes. `false_split`: the p-value below which a split
    of users is wrong. `min_requests`: what each arm has to have before a step passes.
    """

    errors: Limit = Limit(absolute=0.01, ceiling=0.05)
    fallbacks: Limit = Limit(absolute=0.05, ceiling=0.30)
    timeouts: Limit = Limit(absolute=0.10, ceiling=0.40)
    malformed: Limit = Limit(ceiling=0.50)
    p95_ms: Limit = Limit(absolute=1810, ceiling=3620)
    cost_micro_usd: Limit = Limit(ceiling=5000)
    clicks: Limit = Limit()
    false_fail: float = 0.05
    false_pass: float = 0.05
    false_split: float = 0.001
    steps: int = 5
    min_requests: int = 100

    def __post_init__(self) -> None:
        for chance in (self.false_fail, self.false_pass, self.false_split):
            if not 0 < chance < 1:
                raise ValueError(f"a chance lies between 0 and 1: {chance}")
        if self.steps < 1 or self.min_requests < 1 or self.clicks.ceiling is not None:
            raise ValueError("steps and min_requests are at least 1, and clicks have no ceiling")

    @property
    def fail_log(self) -> float:
        """The natural log of the evidence that fails a limit: `false_fail` is shared by the steps and the limits."""
        each = [limit for item in fields(self) if isinstance(limit := getattr(self, item.name), Limit)]
        limits = sum((limit.absolute is not None) + (limit.ceiling is not None) for limit in each)
        return math.log(self.steps * max(limits, 1) / self.false_fail)

    @property
    def pass_log(self) -> float:
        """The natural log of the evidence that a figure is within its limit: to pass takes all of them."""
        return -math.log(self.false_pass)
