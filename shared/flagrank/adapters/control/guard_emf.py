"""What the guard did, as one line that is both a log record and a metric."""

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from flagrank.delivery.alarm import Alarm
from flagrank.delivery.guard import AlarmResponse
from flagrank.metric_names import GUARD_SERVICE, NAMESPACE, GuardMetric


def emit(alarm: Alarm, response: AlarmResponse) -> None:
    """Prints the line in CloudWatch's Embedded Metric Format; alarm, percentages and reason are metadata."""
    provider = AmazonCloudWatchEMFProvider(
        metric_set={},
        dimension_set={},
        metadata_set={},
        default_dimensions={},
        namespace=NAMESPACE,
        service=GUARD_SERVICE,
    )
    done = GuardMetric.EXPOSURE_LOWERED if response.lowered else GuardMetric.ALARM_IGNORED
    provider.add_metric(done, "Count", 1)
    provider.add_metadata("alarm", alarm.key)
    provider.add_metadata("before_percent", f"{response.before:g}")
    provider.add_metadata("after_percent", f"{response.after:g}")
    provider.add_metadata("why", response.why)
    provider.flush_metrics()
