"""CloudWatch and its Logs behind real boto3 clients, answering from EMF lines.

moto supports neither trimmed counts nor a second `stats` in a query. Here boto3 checks the parameters against AWS's
model, and the answers are counted from the lines by the published definitions of the statistics.
"""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

from tests.adapters.loopback import REGION

type Lines = list[dict[str, Any]]

PAGE = 20
STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Maximum": max}
TRIMMED_COUNT = re.compile(r"TC\(([0-9.]+):\)")


class CloudWatchOfLines:
    """An account whose functions printed these EMF documents.

    `statuses` are by the id of a query on the first page: its answer has no values, but these StatusCodes page by page.
    """

    def __init__(self, lines: Lines, statuses: Mapping[str, Sequence[str]] | None = None) -> None:
        self._lines = lines
        self._statuses = statuses or {}
        self._queries: list[dict[str, Any]] = []
        self._asked_before: set[str] = set()
        self.cloudwatch = self._client("cloudwatch", {"GetMetricData": self._metric_data})
        self.logs = self._client("logs", {"StartQuery": self._start_query, "GetQueryResults": self._query_results})

    def _client(self, service: str, answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]]) -> Any:
        client = boto3.client(service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
        asked: dict[str, dict[str, Any]] = {}

        def remember(params: dict[str, Any], model: Any, **_: Any) -> None:
            asked[model.name] = params

        def answer(model: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
            # by now boto3 has checked the parameters; it would send them next
            return AWSResponse("", 200, {}, None), answers[model.name](asked[model.name])

        client.meta.events.register(f"provide-client-params.{service}", remember)
        client.meta.events.register(f"before-call.{service}", answer)
        return client

    def _metric_data(self, asked: dict[str, Any]) -> dict[str, Any]:
        first = int(asked.get("NextToken", "0"))
        queries = asked["MetricDataQueries"]
        results = [self._series(query, asked) for query in queries[first : first + PAGE]]
        for query_id, pages in self._statuses.items():
            status = pages[first // PAGE : first // PAGE + 1]
            results = [entry for entry in results if not status or entry["Id"] != query_id]
            results += [{"Id": query_id, "Timestamps": [], "Values": [], "StatusCode": code} for code in status]
        more = {"NextToken": str(first + PAGE)} if first + PAGE < len(queries) else {}
        return {"MetricDataResults": results, **more}

    def _series(self, query: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        metric, period_s = query["MetricStat"]["Metric"], query["MetricStat"]["Period"]
        minutes: dict[float, list[float]] = defaultdict(list)
        for line in self._between(asked["StartTime"], asked["EndTime"]):
            dimensions = {entry["Name"]: entry["Value"] for entry in metric["Dimensions"]}
            if metric["MetricName"] in line and dimensions.items() <= line.items():
                minutes[line["_aws"]["Timestamp"] / 1000 // period_s * period_s] += line[metric["MetricName"]]
        values = {minute: _statistic(query["MetricStat"]["Stat"], found) for minute, found in minutes.items()}
        # newest first, which is CloudWatch's default
        newest_first = sorted(values, reverse=True)
        return {
            "Id": query["Id"],
            "Timestamps": [dt.datetime.fromtimestamp(minute, dt.UTC) for minute in newest_first],
            "Values": [values[minute] for minute in newest_first],
            "StatusCode": "Complete",
        }

    def _start_query(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._queries.append(asked)
        return {"queryId": str(len(self._queries))}

    def _query_results(self, asked: dict[str, Any]) -> dict[str, Any]:
        query = self._queries[int(asked["queryId"]) - 1]
        if asked["queryId"] not in self._asked_before:
            self._asked_before.add(asked["queryId"])
            return {"status": "Running", "results": []}
        # inclusive at both ends: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
        users: dict[str, set[str]] = defaultdict(set)
        for line in self._between(query["startTime"], query["endTime"] + 1):
            if "Requests" in line and line["assignment"] == "split":
                users[line["arm"]].add(line["draw"])
        rows = [
            [{"field": "arm", "value": arm}, {"field": "users", "value": str(len(of))}] for arm, of in users.items()
        ]
        return {"status": "Complete", "results": rows}

    def _between(self, since_s: float, until_s: float) -> Lines:
        return [line for line in self._lines if since_s <= line["_aws"]["Timestamp"] / 1000 < until_s]


def _statistic(name: str, values: list[float]) -> float:
    trimmed = TRIMMED_COUNT.fullmatch(name)
    if trimmed:
        return float(sum(value > float(trimmed[1]) for value in values))
    return STATISTICS[name](values)
