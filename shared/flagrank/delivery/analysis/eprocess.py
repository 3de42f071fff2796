"""Evidence that stays valid however often one looks: e-processes of two arms, computed from cumulative counts alone.

If a hypothesis is true, its e-process starts at one and is not expected to grow. The chance that it ever reaches
1 / alpha is therefore at most alpha (Ville 1939). The limits that are not rejected form a confidence sequence. All
logarithms are natural, and all functions work elementwise on arrays of looks. The excess that is judged is
treatment - slope * control.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

type Float64Array = npt.NDArray[np.float64]
type Values = float | Float64Array

ZOOM, ZOOMS = 64, 5


class Evidence(Protocol):
    """Evidence about an excess, as natural logarithms of e-processes."""

    def above(self, limit: Values) -> Float64Array:
        """The evidence that the excess is above the limit. Where it is positive, it never rises with the limit."""

    def below(self, limit: Values) -> Float64Array:
        """The evidence that the excess is below the limit. Where it is positive, it never falls with the limit."""

    def grown(self, factor: Values) -> "Evidence":
        """The evidence of `factor` times the data of one look, if both arms went on as they did."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Evidence about what treatment lost, slope * control - treatment: the excess with its sign turned."""

    excess: Evidence

    def above(self, limit: Values) -> Float64Array:
        """See Evidence."""
        return self.excess.below(np.negative(limit))

    def below(self, limit: Values) -> Float64Array:
        """See Evidence."""
        return self.excess.above(np.negative(limit))

    def grown(self, factor: Values) -> "Loss":
        """See Evidence."""
        return Loss(self.excess.grown(factor))


def split_p_value(treated: float, controls: float, treated_share: float) -> float:
    """The chance of a split at least as far from `treated_share` (0..1): chi-square with one degree of freedom.

    It is one where fewer than five are expected in an arm: chi-square does not hold there.
    """
    total = treated + controls
    if min(total * treated_share, total * (1 - treated_share)) < 5:
        return 1.0
    return math.erfc(abs(treated - total * treated_share) / math.sqrt(2 * total * treated_share * (1 - treated_share)))


def bounds(evidence: Evidence, span: tuple[float, float], above_log: float, below_log: float) -> tuple[float, float]:
    """The confidence sequence at one look: the lowest and the highest excess within `span` that is not rejected."""
    return (
        _boundary(lambda limits: evidence.above(limits) >= above_log, *span),
        _boundary(lambda limits: evidence.below(limits) >= below_log, *reversed(span)),
    )


def _boundary(
    rejected: Callable[[Float64Array], npt.NDArray[np.bool_]], rejected_end: float, other_end: float
) -> float:
    for _ in range(ZOOMS):
        limits = np.linspace(rejected_end, other_end, ZOOM + 1)
        last = int(np.argmin(np.append(rejected(limits[:-1]), False))) - 1
        if last < 0:
            break
        rejected_end, other_end = float(limits[last]), float(limits[last + 1])
    return rejected_end
