"""Both arms' counts from CloudWatch: sums and trimmed counts of its metrics, unique users from the function's log."""

import datetime as dt
import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flagrank.adapters.aws_errors import aws_errors
from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.delivery.analysis.measures import COUNTS, USERS
from flagrank.delivery.analysis.quantities import Count, EmittedMetric
from flagrank.domain import Arm, Reason
from flagrank.errors import CloudError
from flagrank.metric_names import NAMESPACE, SERVICE, MetricName

PERIOD_S = 60
QUERY_POLL_S = 0.5
QUERY_POLLS = 120
# exact, where count_distinct() approximates: a chi-square on unique users would see the error
USERS_BY_ARM = f"""filter ispresent({MetricName.REQUESTS}) and assignment = "{Reason.SPLIT}"
| stats count(*) by draw, arm
| stats count(*) as users by arm"""

type Minutes = Mapping[dt.datetime, float]


class CloudWatchCounts:
    """The counts of whole minutes, as far as CloudWatch has them: about two minutes behind.

    `log_group` is the recommend function's: its EMF lines go there. TC(x:) counts the values above x:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
    """

    def __init__(self, cloudwatch: Any, logs: Any, log_group: str) -> None:
        self._cloudwatch = cloudwatch
        self._logs = logs
        self._log_group = log_group

    def read(self, since_s: float, until_s: float) -> Arms:
        """See CountsSource; begins with the first whole minute. Raises CloudError for counts that are incomplete."""
        first_s = math.ceil(since_s / PERIOD_S) * PERIOD_S
        if until_s <= first_s:
            return Arms()
        with aws_errors():
            minutes = self._minutes(first_s, until_s)
            users = self._users(first_s, until_s)
        return Arms(*(_arm_counts(arm, minutes, users.get(arm, 0)) for arm in (Arm.TREATMENT, Arm.CONTROL)))

    def _minutes(self, since_s: float, until_s: float) -> Mapping[str, Minutes]:
        found: dict[str, dict[dt.datetime, float]] = {}
        ended: dict[str, str] = {}
        queries = list(_queries())
        pages = self._cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=since_s, EndTime=until_s
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                minutes = found.setdefault(result["Id"], {})
                minutes.update(zip(result["Timestamps"], result["Values"], strict=True))
                # PartialData is usual on a page that another one follows: the last status counts
                ended[result["Id"]] = result["StatusCode"]
        incomplete = sorted({ended.get(query["Id"], "missing") for query in queries} - {"Complete"})
        if incomplete:
            raise CloudError(f"CloudWatch does not have all the counts: {', '.join(incomplete)}")
        return found

    def _users(self, since_s: float, until_s: float) -> dict[str, int]:
        query_id = self._logs.start_query(
            logGroupName=self._log_group, startTime=int(since_s), endTime=int(until_s), queryString=USERS_BY_ARM
        )["queryId"]
        for _ in range(QUERY_POLLS):
            answer = self._logs.get_query_results(queryId=query_id)
            if answer["status"] == "Complete":
                rows = ({column["field"]: column["value"] for column in row} for row in answer["results"])
                return {row["arm"]: int(row["users"]) for row in rows}
            if answer["status"] not in ("Scheduled", "Running"):
                raise CloudError(f"the count of users in {self._log_group} ended as {answer['status']}")
            time.sleep(QUERY_POLL_S)
        raise CloudError(f"the count of users in {self._log_group} takes longer than {QUERY_POLLS * QUERY_POLL_S:g} s")


def series_id(arm: Arm, metric: EmittedMetric, statistic: str) -> str:
    """The id of the query for one statistic of a metric; CloudWatch allows letters, digits and underscores."""
    return re.sub(r"\W", "_", f"{arm}_{metric}_{statistic}")


def _queries() -> Iterator[dict[str, Any]]:
    series = dict.fromkeys(entry for count in COUNTS for entry in _series(count))
    for arm in Arm:
        dimensions = [{"Name": "arm", "Value": arm}, {"Name": "service", "Value": SERVICE}]
        for metric, statistic in series:
            described = {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions}
            yield {
                "Id": series_id(arm, metric, statistic),
                "MetricStat": {"Metric": described, "Period": PERIOD_S, "Stat": statistic},
            }


def _series(count: Count) -> Iterator[tuple[EmittedMetric, str]]:
    for metric in count.metrics:
        yield metric, _statistic(count)
        if count.is_squared:
            yield metric, "Maximum"


def _statistic(count: Count) -> str:
    return "Sum" if count.above is None else f"TC({count.above:g}:)"


def _arm_counts(arm: Arm, found: Mapping[str, Minutes], users: int) -> ArmCounts:
    def minutes(metric: EmittedMetric, statistic: str) -> Minutes:
        return found.get(series_id(arm, metric, statistic), {})

    def total(count: Count) -> float:
        values = 0.0
        for metric in count.metrics:
            largest = minutes(metric, "Maximum")
            for minute, value in minutes(metric, _statistic(count)).items():
                # CloudWatch keeps no squares: no minute's can be above its largest amount times its sum
                values += value * largest.get(minute, 0.0) if count.is_squared else value
        return values if count.is_amount else round(values)

    return ArmCounts(**{count.name: total(count) for count in COUNTS} | {USERS.name: users})
