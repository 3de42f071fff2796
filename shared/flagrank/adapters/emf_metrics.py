"""Metrics as CloudWatch's Embedded Metric Format on standard output, through Powertools: no call, no wait."""

import logging
from collections.abc import Mapping

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from flagrank.metric_names import NAMESPACE, SERVICE, MetricName, SimilarMetric

logger = logging.getLogger(__name__)


class EmfMetrics:
    """One EMF line a request, with the dimensions `service` and, where the request has one, `arm`."""

    def emit(self, arm: str | None, values: Mapping[str, float], metadata: Mapping[str, str]) -> None:
        """Prints the line; a failure to do so is logged and costs the request nothing."""
        try:
            provider = AmazonCloudWatchEMFProvider(
                metric_set={},
                dimension_set={},
                metadata_set={},
                default_dimensions={},
                namespace=NAMESPACE,
                service=SERVICE,
            )
            known: type[MetricName | SimilarMetric] = SimilarMetric
            if arm is not None:
                known = MetricName
                provider.add_dimension("arm", arm)
            for name, value in values.items():
                provider.add_metric(name, known(name).unit, value)
            for key, text in metadata.items():
                provider.add_metadata(key, text)
            provider.flush_metrics()
        except Exception:
            logger.exception("metrics were not emitted")
