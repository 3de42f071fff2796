"""Metrics as CloudWatch's Embedded Metric Format on standard output, through Powertools: no call, no wait."""

import logging
from collections.abc import Mapping

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from flagrank.metric_names import NAMESPACE, SERVICE, unit_of

logger = logging.getLogger(__name__)


class EmfMetrics:
    """One EMF line a request or message, with the dimensions `service` and, where there is one, `arm`."""

    def __init__(self, service: str = SERVICE) -> None:
        self._service = service

    def emit(self, arm: str | None, values: Mapping[str, float], metadata: Mapping[str, str]) -> None:
        """Prints the line; a failure to do so is logged and costs the caller nothing."""
        try:
            provider = AmazonCloudWatchEMFProvider(
                metric_set={},
                dimension_set={},
                metadata_set={},
                default_dimensions={},
                namespace=NAMESPACE,
                service=self._service,
            )
            if arm is not None:
                provider.add_dimension("arm", arm)
            for name, value in values.items():
                provider.add_metric(name, unit_of(name), value)
            for key, text in metadata.items():
                provider.add_metadata(key, text)
            provider.flush_metrics()
        except Exception:
            logger.exception("metrics were not emitted")
