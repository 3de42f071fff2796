"""Both arms' figures from CloudWatch: counts from its metrics, unique users from the function's log."""

import datetime as dt
import math
import time
from collections.abc import Iterator
from typing import Any

from flagrank.adapters.aws_errors import aws_errors
from flagrank.delivery.analysis.counts import LATENCY_LADDER_MS, ArmFigures, Arms
from flagrank.domain import Arm, Reason
from flagrank.errors import CloudError
from flagrank.metric_names import NAMESPACE, SERVICE, FeedbackMetric, MetricName

PERIOD_S = 60
QUERY_POLL_S = 0.5
QUERY_POLLS = 120
# exact, where count_distinct() approximates: a chi-square on unique users would see the error
USERS_BY_ARM = f"""filter ispresent({MetricName.REQUESTS}) and assignment = "{Reason.SPLIT}"
| stats count(*) by user_id, arm
| stats count(*) as users by arm"""

type Minutes = dict[dt.datetime, float]


class CloudWatchFigures:
    """The figures of whole minutes, as far as CloudWatch has them: about two minutes behind.

    `log_group` is the recommend function's, the one that its EMF lines go to.
    TC(x:) counts the values above x:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
    """

    def __init__(self, cloudwatch: Any, logs: Any, log_group: str) -> None:
        self._cloudwatch = cloudwatch
        self._logs = logs
        self._log_group = log_group

    def read(self, since_s: float, until_s: float) -> Arms:
        """See FiguresSource; begins with the first whole minute. Raises CloudError for figures that are incomplete."""
        first_s = math.ceil(since_s / PERIOD_S) * PERIOD_S
        if until_s <= first_s:
            return Arms()
        with aws_errors():
            minutes = self._minutes(first_s, until_s)
            users = self._users(first_s, until_s)
        return Arms(*(_arm_figures(arm, minutes, users.get(arm, 0)) for arm in (Arm.TREATMENT, Arm.CONTROL)))

    def _minutes(self, since_s: float, until_s: float) -> dict[str, Minutes]:
        found: dict[str, Minutes] = {}
        ended: dict[str, str] = {}
        queries = list(_queries())
        pages = self._cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=since_s, EndTime=until_s
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                minutes = found.setdefault(result["Id"], {})
                minutes.update(zip(result["Timestamps"], result["Values"], strict=True))
                # PartialData is usual on a page that another one follows: the last word counts
                ended[result["Id"]] = result["StatusCode"]
        untold = sorted({ended.get(query["Id"], "missing") for query in queries} - {"Complete"})
        if untold:
            raise CloudError(f"CloudWatch does not have all the figures: {', '.join(untold)}")
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


def _queries() -> Iterator[dict[str, Any]]:
    statistics = {
        "requests": (MetricName.REQUESTS, "Sum"),
        "unanswered": (MetricName.FAILURE, "Sum"),
        "unknown": (MetricName.UNKNOWN_FAILURE, "Sum"),
        "attempted": (MetricName.RERANK_ELIGIBLE, "Sum"),
        "fallbacks": (MetricName.FALLBACK, "Sum"),
        "timeouts": (MetricName.TIMEOUT, "TC(0.5:)"),
        "malformed": (MetricName.PARSE_FAILURE, "TC(0.5:)"),
        "stale": (MetricName.FLAG_STALE, "Sum"),
        "cost": (MetricName.COST_MICRO_USD, "Sum"),
        "largest": (MetricName.COST_MICRO_USD, "Maximum"),
        "shown": (FeedbackMetric.SHOWN, "Sum"),
        "clicked": (FeedbackMetric.CLICKED, "Sum"),
        **{f"slower{rung}": (MetricName.RECOMMEND_LATENCY, f"TC({rung}:)") for rung in LATENCY_LADDER_MS},
    }
    for arm in Arm:
        dimensions = [{"Name": "arm", "Value": arm}, {"Name": "service", "Value": SERVICE}]
        for name, (metric, statistic) in statistics.items():
            described = {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions}
            yield {
                "Id": f"{arm}_{name}",
                "MetricStat": {"Metric": described, "Period": PERIOD_S, "Stat": statistic},
            }


def _arm_figures(arm: Arm, found: dict[str, Minutes], users: int) -> ArmFigures:
    def minutes(name: str) -> Minutes:
        return found.get(f"{arm}_{name}", {})

    def total(name: str) -> int:
        return round(sum(minutes(name).values()))

    largest = minutes("largest")
    return ArmFigures(
        requests=total("requests"),
        users=users,
        errors=total("unanswered") + total("unknown"),
        attempted=total("attempted"),
        fallbacks=total("fallbacks"),
        timeouts=total("timeouts"),
        malformed=total("malformed"),
        slower=tuple(total(f"slower{rung}") for rung in LATENCY_LADDER_MS),
        stale=total("stale"),
        cost_micro_usd=sum(minutes("cost").values()),
        # CloudWatch keeps no squares: no minute's can be above its largest cost times its sum
        cost_micro_usd_squared=sum(cost * largest.get(minute, 0.0) for minute, cost in minutes("cost").items()),
        shown=total("shown"),
        clicked=total("clicked"),
    )
