"""What CloudWatch Logs does with EMF: metric lines on a function's output become metrics, here in moto."""

import threading
from collections import Counter
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

EVERY_S = 1.0
VALUES_PER_DATUM = 150
DATA_PER_CALL = 100

type Key = tuple[str, str, str, tuple[tuple[str, str], ...]]


class EmfForwarder:
    """Collects EMF lines and puts them into CloudWatch once a second, in the background."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._values: dict[Key, Counter[float]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, line: bytes) -> dict[str, Any] | None:
        """The line as a document if it was EMF, and so is taken care of; None for any other."""
        if not line.startswith(b"{") or b'"_aws"' not in line:
            return None
        try:
            document: dict[str, Any] = orjson.loads(line)
            values = _values(document)
        except (AttributeError, KeyError, TypeError, ValueError):
            # as CloudWatch does: what cannot be read as metrics stays a log line
            return None
        with self._lock:
            for key, counts in values.items():
                self._values.setdefault(key, Counter()).update(counts)
        return document

    def stop(self) -> None:
        """Sends what is left."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            collected, self._values = self._values, {}
        by_namespace: dict[str, list[dict[str, Any]]] = {}
        for (namespace, name, unit, dimensions), counts in collected.items():
            entries = list(counts.items())
            for start in range(0, len(entries), VALUES_PER_DATUM):
                part = entries[start : start + VALUES_PER_DATUM]
                datum = {
                    "MetricName": name,
                    "Unit": unit,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                    "Values": [value for value, _ in part],
                    "Counts": [float(count) for _, count in part],
                }
                by_namespace.setdefault(namespace, []).append(datum)
        for namespace, data in by_namespace.items():
            for start in range(0, len(data), DATA_PER_CALL):
                try:
                    self._client.put_metric_data(Namespace=namespace, MetricData=data[start : start + DATA_PER_CALL])
                except (BotoCoreError, ClientError):
                    # the stand-in was taken away: metrics are lost, as they are when CloudWatch is
                    return


def _values(document: dict[str, Any]) -> dict[Key, Counter[float]]:
    found: dict[Key, Counter[float]] = {}
    for block in document["_aws"]["CloudWatchMetrics"]:
        for names in block["Dimensions"]:
            dimensions = tuple((name, str(document[name])) for name in sorted(names))
            for metric in block["Metrics"]:
                values = document[metric["Name"]]
                key = (block["Namespace"], metric["Name"], metric.get("Unit", "None"), dimensions)
                listed = values if isinstance(values, list) else [values]
                found.setdefault(key, Counter()).update(round(float(value), 1) for value in listed)
    return found
