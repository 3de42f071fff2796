"""The month's bill for a workload, line by line."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from flagrank.costs.calls import Counts, calls_of
from flagrank.costs.prices import PriceList
from flagrank.costs.workload import MB_PER_GB, MONTH_S, Path, Workload
from flagrank.domain import Arm
from flagrank.metric_names import GuardMetric, MetricName, SimilarMetric, WarmMetric
from flagrank.rerank.pricing import Price

GB = 2**30
DAYS = MONTH_S / 86_400
READ_BYTES, WRITE_BYTES = 4096, 1024
# an item that is absent is read all the same, at the least that a read costs
EVENTUAL_READ = 0.5
# a kept judgement: ten bytes a text, the intent's words and the keys
KEPT_BYTES = 600
# what CloudWatch adds to each log event
EVENT_BYTES = 26
# archived logs are compressed; https://aws.amazon.com/cloudwatch/pricing/ reckons with this share
ARCHIVED_SHARE = 0.15
# those of the worker's that the arm's dimension doubles (rerank.worker.OF_THE_ARM has no new names)
WORKER_COUNTS = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bill: how much of what in a month, and what it costs in USD."""

    service: str
    what: str
    quantity: float
    usd: float
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Bill:
    """A month's lines."""

    lines: tuple[Line, ...]
    requests: float
    treated: float

    @property
    def usd(self) -> float:
        """The month's sum."""
        return sum(line.usd for line in self.lines)

    def by_service(self) -> dict[str, float]:
        """USD of the month by service, in the order of the lines."""
        sums: dict[str, float] = {}
        for line in self.lines:
            sums[line.service] = sums.get(line.service, 0.0) + line.usd
        return sums

    def per_thousand(self, usd: float) -> float:
        """USD for each thousand requests."""
        return 1000 * usd / self.requests

    def llm_per_thousand_treated(self) -> float:
        """What the LLM costs for each thousand treated requests, in USD; 0 where nobody is treated."""
        return 1000 * self.by_service()["Bedrock"] / self.treated if self.treated else 0.0


def bill_of(workload: Workload, prices: PriceList) -> Bill:
    """A month of steady traffic. Raises KeyError for a model that has no price."""
    counts = Counts.of(workload, MONTH_S)
    lines = (*_priced(workload, counts, prices), *_llm(workload, prices))
    return Bill(lines, counts.requests, counts.requests * workload.treated)


def _priced(workload: Workload, counts: Counts, prices: PriceList) -> Iterator[Line]:
    for service, quantities in (
        ("Lambda", _lambda(workload, counts)),
        ("API Gateway", {"apigateway.requests": counts.requests, "transfer.out_gb": _gb(workload, counts)}),
        ("DynamoDB", _dynamodb(workload, counts)),
        ("S3", _s3(workload)),
        ("SQS", {"sqs.requests": sum(n for name, n in calls_of(workload, MONTH_S).items() if name.startswith("sqs."))}),
        ("AppConfig", _appconfig(workload, counts)),
        ("CloudWatch", _cloudwatch(workload, counts)),
    ):
        for name, quantity in quantities.items():
            price = prices.prices[name]
            yield Line(service, name.partition(".")[2], quantity, price.usd(quantity), price.assumed)


def _lambda(workload: Workload, counts: Counts) -> dict[str, float]:
    memory_gb = workload.memory_mb / MB_PER_GB
    busy_s = counts.requests * workload.request_s + counts.batches * workload.batch_s
    restored = workload.restored
    return {
        "lambda.requests": counts.requests + counts.batches,
        f"lambda.{workload.architecture}_gb_s": busy_s * memory_gb,
        "lambda.snapshot_gb_s": MONTH_S * memory_gb * workload.published_versions if restored else 0.0,
        "lambda.restored_gb": counts.serving_starts * memory_gb if restored else 0.0,
    }


def _gb(workload: Workload, counts: Counts) -> float:
    return counts.requests * workload.response_bytes / GB


def _dynamodb(workload: Workload, counts: Counts) -> dict[str, float]:
    record_reads = EVENTUAL_READ * math.ceil(workload.record_bytes / READ_BYTES)
    record_writes = math.ceil(workload.record_bytes / WRITE_BYTES)
    spends = 0.0 if workload.path is Path.PRECOMPUTED else counts.judged
    return {
        # the record and the day's spend, in one call
        "dynamodb.read_units": counts.reads * (record_reads + EVENTUAL_READ),
        "dynamodb.write_units": counts.claims
        + counts.judged * record_writes
        + counts.kept * math.ceil(KEPT_BYTES / WRITE_BYTES)
        + spends
        # the claim's release
        + counts.tasks,
    }


def _s3(workload: Workload) -> dict[str, float]:
    # a batch's records go in and its answers come out as one object each
    puts = 2 * DAYS if workload.path is Path.PRECOMPUTED else 0.0
    calls = calls_of(workload, MONTH_S)
    return {
        "s3.get": calls["s3.GetObject"],
        "s3.put": puts,
        "s3.gb_month": workload.kept_sets * workload.set_mb / MB_PER_GB,
    }


def _appconfig(workload: Workload, counts: Counts) -> dict[str, float]:
    environments = workload.serving_environments + workload.working_environments
    calls = calls_of(workload, MONTH_S)
    return {
        "appconfig.requests": sum(n for name, n in calls.items() if name.startswith("appconfig.")),
        "appconfig.received": counts.starts + environments * workload.flag_changes_per_day * DAYS,
    }


def _cloudwatch(workload: Workload, counts: Counts) -> dict[str, float]:
    per_request = workload.emf_bytes + workload.access_log_bytes + 2 * EVENT_BYTES
    log_gb = (counts.requests * per_request + counts.tasks * (workload.worker_emf_bytes + EVENT_BYTES)) / GB
    return {
        "cloudwatch.log_gb": log_gb,
        "cloudwatch.log_gb_month": log_gb * ARCHIVED_SHARE * workload.log_retention_days / DAYS,
        "cloudwatch.metrics": float(metrics_emitted()),
        "cloudwatch.alarm_metrics": float(workload.alarm_metrics),
        "cloudwatch.composite_alarms": float(workload.composite_alarms),
        "cloudwatch.dashboards": 1.0,
    }


def metrics_emitted() -> int:
    """Metrics that are billed: each name under each value of its dimensions."""
    return len(MetricName) * len(Arm) + len(SimilarMetric) + len(WarmMetric) + WORKER_COUNTS + len(GuardMetric)


def _llm(workload: Workload, prices: PriceList) -> Iterator[Line]:
    calls = calls_of(workload, MONTH_S)["bedrock.Converse"]
    price = prices.models[workload.model_id]
    usd = price_of_calls(price, calls, workload)
    if workload.path is Path.PRECOMPUTED:
        usd *= prices.batch_share.usd
    yield Line("Bedrock", f"calls of {workload.model_id}", calls, usd, price.assumed)


def price_of_calls(price: Price, calls: float, workload: Workload) -> float:
    """What so many calls cost in USD, by their tokens or as queries."""
    tokens = workload.input_tokens_per_call * price.input_usd + workload.output_tokens_per_call * price.output_usd
    return calls * (tokens / 1e6 + price.thousand_queries_usd / 1000)
