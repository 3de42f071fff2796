"""Metrics as CloudWatch's Embedded Metric Format on standard output, through Powertools: no call, no wait."""

import logging
from collections.abc import Mapping

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from flagrank.metric_names import NAMESPACE, SERVICE, unit_of

# the resolution that CloudWatch keeps without a surcharge
STANDARD_S = 60

logger = logging.getLogger(__name__)


class EmfMetrics:
    """One EMF line a request or message, with the dimensions `service` and, where there is one, `arm`."""

    def __init__(self, service: str = SERVICE) -> None:
        self._service = service

    def emit(self, arm: str | None, values: Mapping[str, float], metadata: Mapping[str, str]) -> None:
        """Prints the line; a failure to do so is logged and costs the caller nothing."""
        try:
            # `add_metric` checks each of thirty names and units, which are ours, at twice the cost of the line
            metrics = {
                name: {"Unit": unit_of(name), "StorageResolution": STANDARD_S, "Value": [value]}
                for name, value in values.items()
            }
            provider = AmazonCloudWatchEMFProvider(
                metric_set=metrics,
                dimension_set={} if arm is None else {"arm": arm},
                metadata_set=dict(metadata),
                default_dimensions={},
                namespace=NAMESPACE,
                service=self._service,
            )
            provider.flush_metrics()
        except Exception:
            logger.exception("metrics were not emitted")
