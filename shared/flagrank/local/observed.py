"""What the local cloud's functions said of their requests, counted as an operator wants it.

moto's CloudWatch keeps values, but knows no percentile and no trimmed count: so these come from the EMF lines.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from flagrank.domain import Arm, Reason
from flagrank.figures import LATENCY_LADDER_MS, ArmFigures, Arms
from flagrank.metrics import Metric

REMEMBERED = 500_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request's part of the figures."""

    at_s: float
    arm: str
    user: str | None
    latency_ms: float
    error: bool
    attempted: bool
    fallback: bool
    timeout: bool
    stale: bool
    cost_micro_usd: float


@dataclass(frozen=True, slots=True)
class Observed:
    """The last half million requests; a FiguresSource."""

    _requests: deque[Request] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def take(self, document: dict[str, Any]) -> None:
        """Counts an EMF document if it is about a request."""
        if Metric.REQUESTS in document and "arm" in document:
            self._requests.append(_request(document))

    def read(self, since_s: float, until_s: float) -> Arms:
        """See FiguresSource."""
        seen = [request for request in self._requests.copy() if since_s <= request.at_s < until_s]
        arms = ([request for request in seen if request.arm == arm] for arm in (Arm.TREATMENT, Arm.CONTROL))
        return Arms(*map(_arm_figures, arms))


def _request(document: dict[str, Any]) -> Request:
    def value(metric: Metric) -> float:
        values = document.get(metric, 0.0)
        return float(values[0] if isinstance(values, list) else values)

    return Request(
        at_s=document["_aws"]["Timestamp"] / 1000,
        arm=document["arm"],
        user=document["user_id"] if document.get("assignment") == Reason.SPLIT else None,
        latency_ms=value(Metric.RECOMMEND_LATENCY),
        error=value(Metric.UNKNOWN_FAILURE) > 0,
        attempted=value(Metric.RERANK_ELIGIBLE) > 0,
        fallback=value(Metric.FALLBACK) > 0,
        timeout=value(Metric.TIMEOUT) > 0,
        stale=value(Metric.FLAG_STALE) > 0,
        cost_micro_usd=value(Metric.COST_MICRO_USD),
    )


def _arm_figures(requests: list[Request]) -> ArmFigures:
    return ArmFigures(
        requests=len(requests),
        users=len({request.user for request in requests if request.user is not None}),
        errors=sum(request.error for request in requests),
        attempted=sum(request.attempted for request in requests),
        fallbacks=sum(request.fallback for request in requests),
        timeouts=sum(request.timeout for request in requests),
        slower=tuple(sum(request.latency_ms > rung for request in requests) for rung in LATENCY_LADDER_MS),
        stale=sum(request.stale for request in requests),
        cost_micro_usd=sum(request.cost_micro_usd for request in requests),
        cost_micro_usd_squared=sum(request.cost_micro_usd**2 for request in requests),
    )
