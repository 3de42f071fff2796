"""What is counted of each request."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flagrank.domain import UNKNOWN_ORIGIN, Arm, Mode, Origin, Reason, Recommendation, SimilarRequest
from flagrank.errors import BaselineFailed, RerankError
from flagrank.flags.assignment import BUCKETS
from flagrank.metric_names import MetricName, SimilarMetric
from flagrank.ports import FactorStore, FlagSource, MetricsSink
from flagrank.rerank.handoff import Handoff, HandoffCounts

# why an LLM that was asked gave no order
FAILURES = frozenset({Reason.UNKNOWN, *(error.reason for error in RerankError.__subclasses__())})
UNJUDGED = FAILURES | {Reason.WARMING}


@dataclass(slots=True)
class Telemetry:
    """Turns answers into metric values. One per environment: it knows whether this was the environment's first."""

    sink: MetricsSink
    factors: FactorStore
    flags: FlagSource
    handoff: Handoff
    _cold: bool = field(default=True, init=False)

    def record(self, answer: Recommendation, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Emits one request's values; counters are emitted at zero too, since a rate needs its zeros."""
        values = measured(answer)
        reloads = self.factors.drain_reloads()
        values[MetricName.FACTORS_RELOAD] = reloads.loaded
        values[MetricName.FACTORS_RELOAD_FAILURE] = reloads.failed
        values[MetricName.FLAG_REJECTED] = self.flags.drain_rejected()
        # they are the treated requests', whichever arm asks next
        handed_over = self.handoff.drain() if answer.arm is Arm.TREATMENT else HandoffCounts()
        values[MetricName.TASKS_SENT] = handed_over.sent
        values[MetricName.HANDOFF_FAILURE] = handed_over.failed
        values[MetricName.COLD_START] = int(self._cold)
        self._cold = False
        metadata: dict[str, str | Mapping[str, float]] = {
            **_asked(origin, answer.diagnostics.draw),
            "mode": answer.mode,
            "reason": answer.reason,
            "assignment": answer.diagnostics.assignment,
            "ignored_ids": str(answer.diagnostics.ignored_ids),
            "factors": answer.versions.factors,
            "flag": answer.versions.flag or "",
            "model": answer.versions.model or "",
            "prompt": answer.versions.prompt or "",
            "steps_ms": {step: round(elapsed, 3) for step, elapsed in answer.diagnostics.elapsed_ms.items()},
        }
        if answer.diagnostics.user_problem is not None:
            metadata["user_problem"] = answer.diagnostics.user_problem
        if answer.diagnostics.shadow is not None:
            metadata["shadow_items"] = ",".join(map(str, answer.diagnostics.shadow.items))
        self.sink.emit(answer.arm, {name: float(value) for name, value in values.items()}, metadata)

    def record_failure(self, failure: BaselineFailed, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Emits a request that got no answer: without it, the arm that fails would look like one that nobody asks."""
        metadata = {**_asked(origin, failure.draw), "assignment": failure.assignment}
        self.sink.emit(failure.arm, {MetricName.REQUESTS: 1.0, MetricName.FAILURE: 1.0}, metadata)

    def record_similar(
        self, request: SimilarRequest, factors_version: str, origin: Origin = UNKNOWN_ORIGIN, *, failed: bool
    ) -> None:
        """Emits one request for similar items; `failed` says that a bug left it without an answer."""
        values: dict[str, float] = {SimilarMetric.REQUESTS: 1.0, SimilarMetric.FAILURE: float(failed)}
        metadata = {**_ids(origin), "item_id": str(request.item_id), "factors": factors_version}
        self.sink.emit(None, values, metadata)


def _asked(origin: Origin, draw: int | None) -> dict[str, str]:
    """Which request it was, and whose as far as the split knows: what a log may say of a user (infra/decisions/0084).

    `draw` tells users apart, so that they can be counted; `bucket` is what the flag's percentage is compared with.
    """
    if draw is None:
        return _ids(origin) | {"draw": "", "bucket": ""}
    return _ids(origin) | {"draw": f"{draw:08x}", "bucket": str(draw % BUCKETS)}


def _ids(origin: Origin) -> dict[str, str]:
    return {"request_id": origin.request_id, "gateway_request_id": origin.gateway_request_id}


def measured(answer: Recommendation) -> dict[str, float]:
    """A request's values by metric name. Timeout, ParseFailure and Throttled count LLM calls, cache hits items.

    RerankApplied, RerankPartial and Fallback tell what became of the LLM's part, whether or not a student took over.
    """
    diagnostics, tally, usage = answer.diagnostics, answer.diagnostics.tally, answer.diagnostics.tally.usage
    is_reranked = answer.mode in (Mode.HYBRID_RERANK, Mode.PARTIAL_RERANK, Mode.STUDENT_RERANK)
    # where the LLM judged too little for an order, or nothing, the order is the student's
    is_judged = is_reranked and answer.mode is not Mode.STUDENT_RERANK and answer.reason not in UNJUDGED
    values: dict[str, float] = {
        MetricName.REQUESTS: 1,
        MetricName.RECOMMEND_LATENCY: diagnostics.elapsed_ms["total"],
        MetricName.RERANK_ELIGIBLE: diagnostics.rerank_attempted,
        MetricName.RERANK_APPLIED: is_judged,
        MetricName.RERANK_WARMING: answer.reason is Reason.WARMING,
        MetricName.RERANK_PARTIAL: is_judged and diagnostics.llm_share != 1,
        MetricName.STUDENT_APPLIED: is_reranked and not is_judged,
        MetricName.FALLBACK: answer.reason in FAILURES,
        MetricName.TIMEOUT: usage.timeouts,
        MetricName.PARSE_FAILURE: usage.parse_failures,
        MetricName.THROTTLED: usage.throttled,
        MetricName.BREAKER_OPEN: answer.reason is Reason.BREAKER_OPEN,
        MetricName.CACHE_HIT: tally.cache_hits,
        MetricName.CACHE_MISS: tally.cache_misses,
        MetricName.LLM_CALLS: usage.llm_calls,
        MetricName.LLM_REJECTED: usage.rejected,
        MetricName.INPUT_TOKENS: usage.input_tokens,
        MetricName.OUTPUT_TOKENS: usage.output_tokens,
        MetricName.COST_MICRO_USD: usage.cost_micro_usd,
        MetricName.USER_READ: diagnostics.user_read,
        MetricName.USER_UNREAD: diagnostics.user_problem is not None,
        MetricName.FLAG_STALE: diagnostics.flag_stale,
        MetricName.UNKNOWN_FAILURE: answer.reason is Reason.UNKNOWN,
        MetricName.FAILURE: 0,
    }
    if diagnostics.rerank_attempted:
        values[MetricName.RERANK_LATENCY] = diagnostics.elapsed_ms["rerank"]
    if diagnostics.shadow is not None:
        values[MetricName.SHADOW_CHANGED] = diagnostics.shadow.changed
        values[MetricName.SHADOW_OVERLAP] = diagnostics.shadow.overlap
        values[MetricName.SHADOW_KENDALL_TAU] = diagnostics.shadow.kendall_tau
    return values
