"""Metrics as CloudWatch's Embedded Metric Format on standard output: no call, no wait, and one line a request.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
The line is the one that Powertools would print, which takes four times as long to make it: the directive of thirty
metrics is the same in every line, and is written once (infra/decisions/0080).
"""

import functools
import logging
import sys
import time
from collections.abc import Mapping

import orjson

from flagrank.metric_names import NAMESPACE, SERVICE, unit_of
from flagrank.ports import Metadata

logger = logging.getLogger(__name__)


class EmfMetrics:
    """One EMF line a request or message, with the dimensions `service` and, where there is one, `arm`."""

    def __init__(self, service: str = SERVICE) -> None:
        self._service = service

    def emit(self, arm: str | None, values: Mapping[str, float], metadata: Metadata) -> None:
        """Prints the line; a failure to do so is logged and costs the caller nothing."""
        try:
            dimensions = {"service": self._service} if arm is None else {"arm": arm, "service": self._service}
            directive = _directive(tuple(dimensions), tuple(values))
            line = {
                "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": directive},
                **dimensions,
                **metadata,
                **{name: [value] for name, value in values.items()},
            }
            sys.stdout.write(orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE).decode())
        except Exception:
            logger.exception("metrics were not emitted")


# an environment emits requests of both arms, with and without a rerank, and little else
@functools.lru_cache(maxsize=32)
def _directive(dimensions: tuple[str, ...], names: tuple[str, ...]) -> orjson.Fragment:
    if not names:
        raise ValueError("a line without a metric")
    metrics = [{"Name": name, "Unit": unit_of(name)} for name in names]
    directives = [{"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics}]
    return orjson.Fragment(orjson.dumps(directives))
