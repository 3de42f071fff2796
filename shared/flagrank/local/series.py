"""The metrics of the local cloud's functions over time, as a dashboard of CloudWatch would draw them."""

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flagrank.metric_names import EMITTED, IN_MILLISECONDS

STEP_S = 10
REMEMBERED_S = 1800

# service and arm, which is empty where a metric has none
type Source = tuple[str, str]


@dataclass(slots=True)
class Step:
    """Ten seconds of one source: sums and numbers of values by metric, and the values themselves of times."""

    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    times_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True)
class Series:
    """The last half hour in steps of ten seconds."""

    _steps: dict[tuple[int, Source], Step] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, document: dict[str, Any]) -> None:
        """Counts every metric of an EMF document."""
        at_s = document["_aws"]["Timestamp"] // 1000 // STEP_S * STEP_S
        source = (str(document.get("service", "")), str(document.get("arm", "")))
        with self._lock:
            step = self._steps.get((at_s, source))
            if step is None:
                step = self._steps[at_s, source] = Step()
                self._forget(at_s - REMEMBERED_S)
            for metric in EMITTED.intersection(document):
                found = document[metric]
                values = found if isinstance(found, list) else [found]
                step.sums[metric] += sum(values)
                step.counts[metric] += len(values)
                if metric in IN_MILLISECONDS:
                    step.times_ms[metric] += values

    def _forget(self, before_s: int) -> None:
        for key in [key for key in self._steps if key[0] < before_s]:
            del self._steps[key]

    def document(self, since_s: float) -> dict[str, Any]:
        """Every step since a time (epoch s), for JSON: sums, averages and percentiles by metric."""
        with self._lock:
            rows = [_row(at_s, source, step) for (at_s, source), step in self._steps.items() if at_s >= since_s]
        return {"step_s": STEP_S, "rows": rows}


def _row(at_s: int, source: Source, step: Step) -> dict[str, Any]:
    service, arm = source
    percentiles = {
        f"p{share}": {metric: float(np.percentile(values, share)) for metric, values in step.times_ms.items()}
        for share in (95, 99)
    }
    averages = {metric: total / step.counts[metric] for metric, total in step.sums.items()}
    return {"at_s": at_s, "service": service, "arm": arm, "Sum": dict(step.sums), "Average": averages, **percentiles}
