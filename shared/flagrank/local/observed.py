"""What the local cloud's functions said of their requests, counted as an operator wants it.

moto's CloudWatch keeps values, but knows no percentile and no trimmed count: so these come from the EMF lines.
"""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.delivery.analysis.counts import LATENCY_LADDER_MS, ArmFigures, Arms
from flagrank.domain import Arm, Reason
from flagrank.metric_names import MetricName

COUNTS = ("requests", "errors", "attempted", "fallbacks", "timeouts", "malformed", "stale")
COSTS = 2
LADDER = np.array(LATENCY_LADDER_MS, np.float64)
REMEMBERED_S = 6 * 3600

type Row = npt.NDArray[np.float64]


@dataclass(slots=True)
class Second:
    """One arm's second: counts, costs and rungs in a row (float64), and the users that the split placed."""

    figures: Row = field(default_factory=lambda: np.zeros(len(COUNTS) + COSTS + len(LADDER)))
    users: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Observed:
    """The last six hours by the second; a FiguresSource."""

    _seconds: dict[tuple[int, str], Second] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, document: dict[str, Any]) -> None:
        """Counts an EMF document if it is about a request."""
        if MetricName.REQUESTS not in document or "arm" not in document:
            return
        at_s = document["_aws"]["Timestamp"] // 1000
        figures = _figures(document)
        with self._lock:
            second = self._seconds.get((at_s, document["arm"]))
            if second is None:
                second = self._seconds[at_s, document["arm"]] = Second()
                self._forget(at_s - REMEMBERED_S)
            second.figures += figures
            if document.get("assignment") == Reason.SPLIT:
                second.users.add(document["user_id"])

    def read(self, since_s: float, until_s: float) -> Arms:
        """See FiguresSource; in whole seconds."""
        with self._lock:
            seen = [(arm, second) for (at_s, arm), second in self._seconds.items() if since_s <= at_s < until_s]
            return Arms(*(_sum([second for of, second in seen if of == arm]) for arm in (Arm.TREATMENT, Arm.CONTROL)))

    def _forget(self, before_s: int) -> None:
        # seconds come in their order, but for a few
        while self._seconds and (oldest := next(iter(self._seconds)))[0] < before_s:
            del self._seconds[oldest]


def _figures(document: dict[str, Any]) -> Row:
    def value(metric: MetricName) -> float:
        values = document.get(metric, 0.0)
        return float(values[0] if isinstance(values, list) else values)

    cost = value(MetricName.COST_MICRO_USD)
    met = (
        value(MetricName.REQUESTS),
        value(MetricName.FAILURE) + value(MetricName.UNKNOWN_FAILURE),
        value(MetricName.RERANK_ELIGIBLE),
        value(MetricName.FALLBACK),
        value(MetricName.TIMEOUT),
        value(MetricName.PARSE_FAILURE),
        value(MetricName.FLAG_STALE),
    )
    counts = [float(values > 0) for values in met]
    return np.concatenate([counts, [cost, cost**2], value(MetricName.RECOMMEND_LATENCY) > LADDER])


def _sum(seconds: list[Second]) -> ArmFigures:
    total = sum((second.figures for second in seconds), Second().figures)
    costs_from, ladder_from = len(COUNTS), len(COUNTS) + COSTS
    counts = dict(zip(COUNTS, total[:costs_from].astype(int).tolist(), strict=True))
    cost, cost_squared = total[costs_from:ladder_from].tolist()
    return ArmFigures(
        users=len(set().union(*(second.users for second in seconds))),
        slower=tuple(total[ladder_from:].astype(int).tolist()),
        cost_micro_usd=cost,
        cost_micro_usd_squared=cost_squared,
        **counts,
    )
