"""The one table of what a rollout is judged by.

Counts, CloudWatch's queries, limits, options of the command line and what people read are derived from it. A new
measure is a member of `Metric` and a row of `MEASURES`, and the metrics that it counts are emitted by
`serving.telemetry`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Any, Literal

from flagrank.delivery.analysis.evidence import MeanOf, QuantileOf, ShareOf, Statistic
from flagrank.delivery.analysis.formats import MILLISECONDS, PERCENT, USD_PER_THOUSAND, Format
from flagrank.delivery.analysis.quantities import Amount, Count, CountsByName, Ladder, Quantity
from flagrank.metric_names import FeedbackMetric, MetricName

# each rung is about 1.41 times the last one
LATENCY_LADDER_MS = (10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 453, 640, 905, 1280, 1810, 2560, 3620, 5120)
# several calls of one request are late together: what counts is a request with any
ANY = 0.5

REQUESTS = Count("requests", (MetricName.REQUESTS,))
# unique users whom the flag's percentage placed; they come from the log, and do not add up
USERS = Count("users", ())
# requests answered on a flag that could not be refreshed: an operator wants to know, and nothing judges it
STALE = Count("stale", (MetricName.FLAG_STALE,))
# requests that asked for a rerank
ATTEMPTED = Count("attempted", (MetricName.RERANK_ELIGIBLE,))
TIMEOUTS = Count("timeouts", (MetricName.TIMEOUT,), above=ANY)
MALFORMED = Count("malformed", (MetricName.PARSE_FAILURE,), above=ANY)
FALLBACKS = Count("fallbacks", (MetricName.FALLBACK,))
JUDGED = Count("judged", (MetricName.RERANK_APPLIED,))
WARMING = Count("warming", (MetricName.RERANK_WARMING,))
# what a request met that may be why another measure is bad; a request may have met several
UNANSWERED = Count("unanswered", (MetricName.FAILURE,))
UNKNOWN_FAILURES = Count("unknown_failures", (MetricName.UNKNOWN_FAILURE,))
THROTTLED = Count("throttled", (MetricName.THROTTLED,), above=ANY)
REJECTED = Count("rejected", (MetricName.LLM_REJECTED,), above=ANY)
BREAKER_OPEN = Count("breaker_open", (MetricName.BREAKER_OPEN,))
COLD_STARTS = Count("cold_starts", (MetricName.COLD_START,))
SLOWER = Ladder("slower", MetricName.RECOMMEND_LATENCY, LATENCY_LADDER_MS)


class Metric(StrEnum):
    """What a result is about: enough data, users split as asked, or a measure of the table."""

    REQUESTS = "requests"
    SPLIT = "split"
    ERRORS = "errors"
    FALLBACKS = "fallbacks"
    TIMEOUTS = "timeouts"
    MALFORMED = "malformed"
    P95 = "p95"
    COST = "cost"
    JUDGED = "judged"
    WARMING = "warming"
    CLICKS = "clicks"


class Harm(Enum):
    """Which change of a measure does harm."""

    RISE = "above"
    LOSS = "below"


@dataclass(frozen=True, slots=True)
class Limit:
    """What a treated value may be: control * (1 + relative) + absolute, and `ceiling` whatever control does.

    Where a loss does harm, control may lose as much, and `floor` is what there must be whatever control does. None
    leaves that comparison out.
    """

    absolute: float | None = None
    relative: float = 0.0
    ceiling: float | None = None
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class LimitOption:
    """The option of the command line, by its parameter's name, that sets a part of a limit."""

    name: str
    help: str
    part: Literal["absolute", "ceiling", "floor"] = "absolute"

    def value(self, limit: Limit) -> float | None:
        """The part of the limit that it sets."""
        found: float | None = getattr(limit, self.part)
        return found

    def applied(self, limit: Limit, value: float | None) -> Limit:
        """The limit with that part set."""
        change: dict[str, Any] = {self.part: value}
        return replace(limit, **change)


@dataclass(frozen=True, slots=True)
class Measure:
    """A judged measure: what it is of an arm, the limit that is usual, and how people write it.

    `causes` are counted over the same denominator, and say why it may be bad.
    """

    metric: Metric
    statistic: Statistic
    limit: Limit
    format: Format
    harm: Harm = Harm.RISE
    option: LimitOption | None = None
    causes: tuple[Count, ...] = ()

    @property
    def label(self) -> str:
        """As people read it."""
        return self.format.label(self.metric)

    def observed(self, arm: CountsByName) -> float | None:
        """The value of an arm; None without data."""
        return self.statistic.value(arm) if self.statistic.denominator.of(arm) else None

    def causes_of(self, arm: CountsByName) -> tuple[tuple[str, float], ...]:
        """Those of its causes that an arm met, the most frequent first, each with its share, 0..1."""
        total = float(self.statistic.denominator.of(arm))
        shares = [(cause.name, float(cause.of(arm)) / total) for cause in self.causes if cause.of(arm)] if total else []
        return tuple(sorted(shares, key=lambda entry: entry[1], reverse=True))

    @property
    def limit_name(self) -> str:
        """The name of its limit in JSON, with the unit."""
        return f"{self.metric}{self.format.suffix}"


MEASURES = (
    Measure(
        Metric.ERRORS,
        # not answered, or failed for an unknown reason
        ShareOf(Count("errors", (MetricName.FAILURE, MetricName.UNKNOWN_FAILURE)), REQUESTS),
        Limit(absolute=0.01, ceiling=0.05),
        PERCENT,
        option=LimitOption("max_extra_errors", "How many more of the treated requests may fail."),
        causes=(UNANSWERED, UNKNOWN_FAILURES),
    ),
    Measure(
        Metric.FALLBACKS,
        ShareOf(FALLBACKS, ATTEMPTED),
        Limit(absolute=0.05, ceiling=0.30),
        PERCENT,
        option=LimitOption("max_extra_fallbacks", "How many more of the treated requests may fall back."),
        causes=(TIMEOUTS, MALFORMED, THROTTLED, REJECTED, BREAKER_OPEN, UNKNOWN_FAILURES),
    ),
    Measure(
        Metric.TIMEOUTS,
        ShareOf(TIMEOUTS, ATTEMPTED),
        Limit(absolute=0.10, ceiling=0.40),
        PERCENT,
    ),
    Measure(
        Metric.MALFORMED,
        ShareOf(MALFORMED, ATTEMPTED),
        Limit(ceiling=0.50),
        PERCENT,
    ),
    Measure(
        Metric.P95,
        QuantileOf(SLOWER, REQUESTS, tail=0.05),
        Limit(absolute=1810, ceiling=3620),
        MILLISECONDS,
        option=LimitOption("max_extra_latency_ms", "How far the treated p95 may be above the control's."),
        causes=(TIMEOUTS, COLD_STARTS),
    ),
    Measure(
        Metric.COST,
        MeanOf(Amount("cost_micro_usd", MetricName.COST_MICRO_USD), REQUESTS),
        Limit(ceiling=5000),
        USD_PER_THOUSAND,
        option=LimitOption("max_usd_per_thousand", "What a thousand treated requests may cost.", part="ceiling"),
    ),
    # the judge compares neither without a limit of its own: control asks for no rerank
    Measure(
        Metric.JUDGED,
        ShareOf(JUDGED, ATTEMPTED),
        Limit(),
        PERCENT,
        Harm.LOSS,
        LimitOption(
            "min_judged",
            "How many of the treated requests must get the LLM's order. It is shown and not judged without this limit.",
            part="floor",
        ),
        (FALLBACKS, WARMING),
    ),
    Measure(
        Metric.WARMING,
        ShareOf(WARMING, ATTEMPTED),
        Limit(),
        PERCENT,
    ),
    Measure(
        Metric.CLICKS,
        ShareOf(Count("clicked", (FeedbackMetric.CLICKED,)), Count("shown", (FeedbackMetric.SHOWN,))),
        Limit(),
        PERCENT,
        Harm.LOSS,
        LimitOption(
            "max_lost_clicks",
            "How many of a hundred lists may lose their click. Clicks are not judged without it; your code publishes"
            " them.",
        ),
    ),
)


def _quantities() -> Iterator[Quantity]:
    yield from (REQUESTS, USERS)
    for measure in MEASURES:
        yield from (measure.statistic.denominator, measure.statistic.numerator, *measure.causes)
    yield STALE


# what is counted of an arm: each quantity once, and the numbers by which it is kept
QUANTITIES = tuple(dict.fromkeys(_quantities()))
COUNTS = tuple(count for quantity in QUANTITIES for count in quantity.counts)
