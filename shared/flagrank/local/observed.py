"""The requests of the local cloud's functions, counted as an operator's CloudWatch would count them.

moto's CloudWatch keeps values and knows neither percentiles nor trimmed counts, so the counts come from the EMF lines.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.measures import COUNTS, USERS
from flagrank.delivery.analysis.quantities import Count
from flagrank.domain import Arm, Reason
from flagrank.local.series import Series

METRICS = frozenset(metric for count in COUNTS for metric in count.metrics)
REMEMBERED_S = 6 * 3600
REMEMBERED_LINES, SHOWN_LINES = 5000, 20

type Row = npt.NDArray[np.float64]


@dataclass(slots=True)
class Second:
    """One arm's second: its counts in the order of COUNTS (float64), and the users whom the percentage placed."""

    counts: Row = field(default_factory=lambda: np.zeros(len(COUNTS)))
    users: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Observed:
    """The last six hours by the second, and the newest lines as they came; a CountsSource."""

    series: Series = field(default_factory=Series)
    _lines: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LINES))
    _seconds: dict[tuple[int, str], Second] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, document: dict[str, Any]) -> None:
        """Counts an EMF document if it has an arm and a metric that is counted."""
        self.series.take(document)
        if "arm" not in document or METRICS.isdisjoint(document):
            return
        at_s = document["_aws"]["Timestamp"] // 1000
        counts = _row(document)
        with self._lock:
            second = self._seconds.get((at_s, document["arm"]))
            if second is None:
                second = self._seconds[at_s, document["arm"]] = Second()
                self._forget(at_s - REMEMBERED_S)
            self._lines.append(document)
            second.counts += counts
            if document.get("assignment") == Reason.SPLIT:
                second.users.add(document["draw"])

    def read(self, since_s: float, until_s: float) -> Arms:
        """See CountsSource; in whole seconds."""
        with self._lock:
            seen = [(arm, second) for (at_s, arm), second in self._seconds.items() if since_s <= at_s < until_s]
            return Arms(*(_sum([second for of, second in seen if of == arm]) for arm in (Arm.TREATMENT, Arm.CONTROL)))

    def newest(self, metric: str) -> list[dict[str, Any]]:
        """The newest lines in which a metric is above zero, the last one first: what each says besides its zeros."""
        with self._lock:
            lines = list(reversed(self._lines))
        met = [line for line in lines if sum(_values(line, metric)) > 0]
        return [
            {name: value for name, value in line.items() if name != "_aws" and value not in ([0.0], "")}
            for line in met[:SHOWN_LINES]
        ]

    def _forget(self, before_s: int) -> None:
        # seconds arrive nearly in order, so the first is the oldest but for a few
        while self._seconds and (oldest := next(iter(self._seconds)))[0] < before_s:
            del self._seconds[oldest]


def _row(document: dict[str, Any]) -> Row:
    values = {metric: _values(document, metric) for metric in METRICS}
    return np.array([sum(_counted(count, values[metric]) for metric in count.metrics) for count in COUNTS], np.float64)


def _values(document: dict[str, Any], metric: str) -> list[float]:
    values: list[float] | float = document.get(metric, [])
    return values if isinstance(values, list) else [values]


def _counted(count: Count, values: list[float]) -> float:
    if count.above is not None:
        return sum(value > count.above for value in values)
    return sum(value**2 for value in values) if count.is_squared else sum(values)


def _sum(seconds: list[Second]) -> ArmCounts:
    total = sum((second.counts for second in seconds), Second().counts)
    counts = {
        count.name: value if count.is_amount else round(value)
        for count, value in zip(COUNTS, total.tolist(), strict=True)
    }
    return ArmCounts(**counts | {USERS.name: len(set().union(*(second.users for second in seconds)))})
