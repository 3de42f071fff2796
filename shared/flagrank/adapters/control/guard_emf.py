"""What the guard did, as one line that is both a log record and a metric."""

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from flagrank.delivery.guard import Alarm, AlarmResponse
from flagrank.metric_names import GUARD_SERVICE, NAMESPACE, GuardMetric


def emit(alarm: Alarm, outcome: AlarmResponse) -> None:
    """Prints the line in CloudWatch's Embedded Metric Format, with alarm, shares in percent and reason as metadata."""
    provider = AmazonCloudWatchEMFProvider(
        metric_set={},
        dimension_set={},
        metadata_set={},
        default_dimensions={},
        namespace=NAMESPACE,
        service=GUARD_SERVICE,
    )
    done = GuardMetric.EXPOSURE_LOWERED if outcome.lowered else GuardMetric.ALARM_IGNORED
    provider.add_metric(done, "Count", 1)
    provider.add_metadata("alarm", alarm.key)
    provider.add_metadata("before_percent", f"{outcome.before:g}")
    provider.add_metadata("after_percent", f"{outcome.after:g}")
    provider.add_metadata("why", outcome.why)
    provider.flush_metrics()
