"""A stand-in for CloudWatch Logs: it turns the EMF lines of a function's output into metrics, here in moto."""

import threading
from dataclasses import dataclass
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

EVERY_S = 1.0
DATA_PER_CALL = 100

type Key = tuple[str, str, str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class Statistics:
    """The statistics of one metric's values in one second. moto keeps each value as an object, so it gets sums."""

    count: int = 0
    total: float = 0.0
    lowest: float = float("inf")
    highest: float = float("-inf")

    def add(self, value: float) -> None:
        """Counts one more value."""
        self.count += 1
        self.total += value
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)


class EmfForwarder:
    """Collects EMF lines and puts them into CloudWatch once a second, in the background."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._collected: dict[Key, Statistics] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, line: bytes) -> dict[str, Any] | None:
        """The document of an EMF line, whose values are collected; None for any other line."""
        if not line.startswith(b"{") or b'"_aws"' not in line:
            return None
        try:
            document: dict[str, Any] = orjson.loads(line)
            values = _values(document)
        except (AttributeError, KeyError, TypeError, ValueError):
            # CloudWatch does the same: a line that cannot be read as metrics stays a log line
            return None
        with self._lock:
            for key, value in values:
                self._collected.setdefault(key, Statistics()).add(value)
        return document

    def stop(self) -> None:
        """Sends what is still collected, and ends."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            collected, self._collected = self._collected, {}
        by_namespace: dict[str, list[dict[str, Any]]] = {}
        for (namespace, name, unit, dimensions), statistics in collected.items():
            datum = {
                "MetricName": name,
                "Unit": unit,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                "StatisticValues": {
                    "SampleCount": statistics.count,
                    "Sum": statistics.total,
                    "Minimum": statistics.lowest,
                    "Maximum": statistics.highest,
                },
            }
            by_namespace.setdefault(namespace, []).append(datum)
        for namespace, data in by_namespace.items():
            for start in range(0, len(data), DATA_PER_CALL):
                try:
                    self._client.put_metric_data(Namespace=namespace, MetricData=data[start : start + DATA_PER_CALL])
                except (BotoCoreError, ClientError):
                    # moto was stopped: the metrics are lost, as they are when CloudWatch is not reachable
                    return


def _values(document: dict[str, Any]) -> list[tuple[Key, float]]:
    values_by_key = []
    for block in document["_aws"]["CloudWatchMetrics"]:
        for names in block["Dimensions"]:
            dimensions = tuple((name, str(document[name])) for name in sorted(names))
            for metric in block["Metrics"]:
                values = document[metric["Name"]]
                key = (block["Namespace"], metric["Name"], metric.get("Unit", "None"), dimensions)
                values_by_key += [(key, float(value)) for value in (values if isinstance(values, list) else [values])]
    return values_by_key
