"""The one list of metric names: what the code emits, and what the judge, alarms and the dashboard may name."""

from enum import StrEnum
from typing import Literal

NAMESPACE = "Flagrank"
SERVICE = "recommend"
GUARD_SERVICE = "guard"


class MetricName(StrEnum):
    """Every metric of a request, by its CloudWatch name. The dimensions are `service` and `arm`."""

    REQUESTS = "Requests"
    RECOMMEND_LATENCY = "RecommendLatency"
    RERANK_LATENCY = "RerankLatency"
    RERANK_ELIGIBLE = "RerankEligible"
    RERANK_APPLIED = "RerankApplied"
    RERANK_PARTIAL = "RerankPartial"
    FALLBACK = "Fallback"
    TIMEOUT = "Timeout"
    PARSE_FAILURE = "ParseFailure"
    THROTTLED = "Throttled"
    BREAKER_OPEN = "BreakerOpen"
    CACHE_HIT = "CacheHit"
    CACHE_MISS = "CacheMiss"
    LLM_CALLS = "LLMCalls"
    LLM_REJECTED = "LLMRejected"
    INPUT_TOKENS = "InputTokens"
    OUTPUT_TOKENS = "OutputTokens"
    COST_MICRO_USD = "CostMicroUSD"
    FLAG_STALE = "FlagStale"
    FLAG_REJECTED = "FlagRejected"
    FACTORS_RELOAD = "FactorsReload"
    FACTORS_RELOAD_FAILURE = "FactorsReloadFailure"
    COLD_START = "ColdStart"
    UNKNOWN_FAILURE = "UnknownFailure"
    FAILURE = "Failure"
    SHADOW_CHANGED = "ShadowChanged"
    SHADOW_OVERLAP = "ShadowOverlap"
    SHADOW_KENDALL_TAU = "ShadowKendallTau"

    @property
    def unit(self) -> Literal["Milliseconds", "Count"]:
        """CloudWatch's unit of the values. It has none for shares, correlations and micro-USD: they are counts."""
        return "Milliseconds" if self in (MetricName.RECOMMEND_LATENCY, MetricName.RERANK_LATENCY) else "Count"


class SimilarMetric(StrEnum):
    """Every metric of a request for similar items, which has no arm. The only dimension is `service`."""

    REQUESTS = "SimilarRequests"
    FAILURE = "SimilarFailure"

    @property
    def unit(self) -> Literal["Count"]:
        """CloudWatch's unit of the values."""
        return "Count"


class FeedbackMetric(StrEnum):
    """The metrics that callers publish about their users, with the dimensions of `MetricName`. No code emits them."""

    SHOWN = "Shown"
    CLICKED = "Clicked"


class GuardMetric(StrEnum):
    """Every metric of the guard. Each event emits one of them. The only dimension is `service`."""

    EXPOSURE_LOWERED = "ExposureLowered"
    ALARM_IGNORED = "AlarmIgnored"
