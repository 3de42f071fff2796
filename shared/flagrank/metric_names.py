"""The one list of metric names: what the code emits, and what the judge, alarms and the dashboard may name."""

from enum import StrEnum
from typing import Literal

NAMESPACE = "Flagrank"
SERVICE = "recommend"
GUARD_SERVICE = "guard"
WARM_SERVICE = "warm"


class MetricName(StrEnum):
    """Every metric of a request, by its CloudWatch name. The dimensions are `service` and `arm`."""

    REQUESTS = "Requests"
    RECOMMEND_LATENCY = "RecommendLatency"
    RERANK_LATENCY = "RerankLatency"
    RERANK_ELIGIBLE = "RerankEligible"
    RERANK_APPLIED = "RerankApplied"
    RERANK_WARMING = "RerankWarming"
    RERANK_PARTIAL = "RerankPartial"
    STUDENT_APPLIED = "StudentApplied"
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
    TASKS_SENT = "TasksSent"
    HANDOFF_FAILURE = "HandoffFailure"
    USER_READ = "UserRead"
    USER_UNREAD = "UserUnread"
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


class SimilarMetric(StrEnum):
    """Every metric of a request for similar items, which has no arm. The only dimension is `service`."""

    REQUESTS = "SimilarRequests"
    FAILURE = "SimilarFailure"


class WarmMetric(StrEnum):
    """The metrics of the queue's worker, one value a message. The only dimension is `service`.

    Beside them it has those of `MetricName` that count calls, tokens and money.
    """

    MESSAGES = "Messages"
    MESSAGES_JUDGED = "MessagesJudged"
    MESSAGES_FAILED = "MessagesFailed"
    MESSAGES_EXPIRED = "MessagesExpired"
    MESSAGES_OUTDATED = "MessagesOutdated"
    MESSAGES_OFF = "MessagesOff"
    MESSAGES_UNREADABLE = "MessagesUnreadable"
    QUEUE_AGE = "QueueAge"
    JUDGING_LATENCY = "JudgingLatency"
    TEXTS_JUDGED = "TextsJudged"
    TEXTS_KNOWN = "TextsKnown"
    TEXTS_MISSING = "TextsMissing"
    SCORES_LOST = "ScoresLost"


EMITTED = frozenset({*MetricName, *SimilarMetric, *WarmMetric})
IN_MILLISECONDS = frozenset(
    {MetricName.RECOMMEND_LATENCY, MetricName.RERANK_LATENCY, WarmMetric.QUEUE_AGE, WarmMetric.JUDGING_LATENCY}
)


def unit_of(name: str) -> Literal["Milliseconds", "Count"]:
    """CloudWatch's unit of a metric's values; raises ValueError for a name that is not on the list.

    It has none for shares, correlations and micro-USD: they are counts.
    """
    if name not in EMITTED:
        raise ValueError(f"not a metric of ours: {name}")
    return "Milliseconds" if name in IN_MILLISECONDS else "Count"


class FeedbackMetric(StrEnum):
    """The metrics that callers publish about their users, with the dimensions of `MetricName`. No code emits them."""

    SHOWN = "Shown"
    CLICKED = "Clicked"


class GuardMetric(StrEnum):
    """Every metric of the guard. Each event emits one of them. The only dimension is `service`."""

    EXPOSURE_LOWERED = "ExposureLowered"
    ALARM_IGNORED = "AlarmIgnored"
