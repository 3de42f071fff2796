"""What a rollout is judged on: an arm's counts, and what is tolerated of them."""

import math
from dataclasses import dataclass, fields
from typing import Protocol

# thresholds in ms, each about 1.41 times the last: CloudWatch's TC(threshold:) counts the requests above one
LATENCY_LADDER_MS = (10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 453, 640, 905, 1280, 1810, 2560, 3620, 5120)


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One arm's counts since the step began. They add up over minutes and environments, but for `users`.

    `errors`: requests that were not answered, or failed for an unknown reason. `attempted`: requests that asked for a
    rerank; of these `fallbacks` got the baseline, `timeouts` had a call that was late, and `malformed` one whose answer
    could not be read. `slower`: requests slower than each of LATENCY_LADDER_MS. The sum of squared costs may be
    overstated as the largest cost times the sum. `clicked` of `shown` requests, where feedback exists. `stale`:
    answered on a flag that could not be refreshed, which an operator wants to know and nothing judges. Raises
    ValueError for what is no count.
    """

    requests: int = 0
    users: int = 0
    errors: int = 0
    attempted: int = 0
    fallbacks: int = 0
    timeouts: int = 0
    malformed: int = 0
    slower: tuple[int, ...] = (0,) * len(LATENCY_LADDER_MS)
    cost_micro_usd: float = 0.0
    cost_micro_usd_squared: float = 0.0
    shown: int = 0
    clicked: int = 0
    stale: int = 0

    def __post_init__(self) -> None:
        counts = [*self.slower, *(getattr(self, item.name) for item in fields(self) if item.name != "slower")]
        if len(self.slower) != len(LATENCY_LADDER_MS) or not all(0 <= count < math.inf for count in counts):
            raise ValueError(f"not counts: {self}")


@dataclass(frozen=True, slots=True)
class Arms:
    """Both arms' counts of the same time."""

    treatment: ArmFigures = ArmFigures()
    control: ArmFigures = ArmFigures()


class FiguresSource(Protocol):
    """Where an operator's figures come from."""

    def read(self, since_s: float, until_s: float) -> Arms:
        """The requests answered between two times in epoch seconds; raises CloudError where nobody knows.

        `users` leaves out who is on the flag's lists: the percentage does not place them.
        """
