"""The queue's worker: which messages are still worth judging, and what becomes of each."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flagrank.domain import Arm, Reason
from flagrank.errors import CacheUnavailable, UnreadableMessage, UnsupportedEvent
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import MetricName, WarmMetric
from flagrank.ports import Clock, FlagSource, JudgementTask, MetricsSink, ScoreCache
from flagrank.rerank.messages import read_task
from flagrank.rerank.records import record_key
from flagrank.rerank.warming import Warmer, WarmResult
from flagrank.timing import Deadline

FLAG_WAIT_MS = 1000.0
# the invocation must end before Lambda ends it, or messages that were judged would come again
LEFT_OVER_S = 2.0
# trouble that another delivery may not meet; any other would only be paid for again
WORTH_ANOTHER_DELIVERY = frozenset(
    {
        Reason.THROTTLED,
        Reason.TIMEOUT,
        Reason.LLM_UNAVAILABLE,
        Reason.BREAKER_OPEN,
        Reason.BUDGET,
        Reason.CACHE,
        Reason.UNKNOWN,
    }
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was received. `sent_at_s` in epoch seconds."""

    message_id: str
    body: str
    sent_at_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message. `metric` counts it; a message that is not `done` goes back to the queue."""

    metric: WarmMetric
    done: bool = True
    reason: str = ""
    result: WarmResult | None = None


def messages_of(event: Mapping[str, Any]) -> list[Message]:
    """The messages of a Lambda event; raises UnsupportedEvent for one that is not SQS's."""
    records = event.get("Records")
    if not isinstance(records, list) or any(record.get("eventSource") != "aws:sqs" for record in records):
        raise UnsupportedEvent("not an event of an SQS queue")
    return [
        Message(record["messageId"], record["body"], int(record["attributes"]["SentTimestamp"]) / 1000)
        for record in records
    ]


@dataclass(frozen=True, slots=True)
class Worker:
    """Judges messages, several at a time: `executor` bounds how many. Drops those older than `max_age_s`.

    `metrics` takes the worker's own figures. `arms` takes, for the arm that asked, what judging cost and the calls that
    were rejected or malformed.
    """

    warmer: Warmer
    cache: ScoreCache
    flags: FlagSource
    clock: Clock
    metrics: MetricsSink
    arms: MetricsSink
    executor: Executor
    max_age_s: int

    def handle(self, messages: Sequence[Message], remaining_s: float) -> list[str]:
        """The ids of the messages that must be delivered again. Raises nothing."""
        deadline = Deadline(self.clock, self.clock.monotonic() + remaining_s - LEFT_OVER_S)
        flag = self.flags.current(FLAG_WAIT_MS).document
        handled = [self.executor.submit(self._handle, message, flag, deadline) for message in messages]
        outcomes = [future.result() for future in handled]
        return [message.message_id for message, outcome in zip(messages, outcomes, strict=True) if not outcome.done]

    def _handle(self, message: Message, flag: FlagDocument | None, deadline: Deadline) -> Outcome:
        started_s, age_s = self.clock.monotonic(), self.clock.now() - message.sent_at_s
        try:
            outcome = self._outcome(message, flag, age_s, deadline)
        except Exception:
            logger.exception("a message failed in a way that nobody foresaw")
            outcome = Outcome(WarmMetric.MESSAGES_FAILED, done=False, reason=Reason.UNKNOWN)
        self._record(outcome, age_s, self.clock.monotonic() - started_s)
        return outcome

    def _outcome(self, message: Message, flag: FlagDocument | None, age_s: float, deadline: Deadline) -> Outcome:
        try:
            task = read_task(message.body)
        except UnreadableMessage as error:
            logger.error("a message cannot be read: %s", error)
            return Outcome(WarmMetric.MESSAGES_UNREADABLE, done=False)
        if flag is None or not flag.enabled:
            return Outcome(WarmMetric.MESSAGES_OFF)
        if age_s > self.max_age_s:
            return Outcome(WarmMetric.MESSAGES_EXPIRED)
        if not self.warmer.is_current(task, flag):
            return Outcome(WarmMetric.MESSAGES_OUTDATED)
        return self._judge(task, flag, deadline)

    def _judge(self, task: JudgementTask, flag: FlagDocument, deadline: Deadline) -> Outcome:
        result = self.warmer.warm(task, flag, deadline)
        if result.trouble is None:
            # after trouble the claim lapses by itself, so that the intent is left alone for a while
            with suppress(CacheUnavailable):
                self.cache.release(record_key(task.intent, task.model_id, task.version))
            return Outcome(WarmMetric.MESSAGES_JUDGED, result=result)
        reason = result.trouble.reason
        logger.warning("%d of %d texts are not judged: %s", result.missing, len(task.texts), result.trouble)
        return Outcome(WarmMetric.MESSAGES_FAILED, reason not in WORTH_ANOTHER_DELIVERY, reason, result)

    def _record(self, outcome: Outcome, age_s: float, took_s: float) -> None:
        values: dict[str, float] = dict.fromkeys(OUTCOMES, 0.0)
        values |= {WarmMetric.MESSAGES: 1, outcome.metric: 1, WarmMetric.QUEUE_AGE: max(0.0, age_s * 1000)}
        if outcome.result is not None:
            values |= measured(outcome.result) | {WarmMetric.JUDGING_LATENCY: took_s * 1000}
            if outcome.result.usage.llm_calls:
                # only treated requests enqueue, so what judging costs is the treated arm's
                self.arms.emit(Arm.TREATMENT, {name: float(values[name]) for name in OF_THE_ARM}, {})
        self.metrics.emit(None, {name: float(value) for name, value in values.items()}, {"reason": outcome.reason})


OUTCOMES = (
    WarmMetric.MESSAGES_JUDGED,
    WarmMetric.MESSAGES_FAILED,
    WarmMetric.MESSAGES_EXPIRED,
    WarmMetric.MESSAGES_OUTDATED,
    WarmMetric.MESSAGES_OFF,
    WarmMetric.MESSAGES_UNREADABLE,
)


# what a ramp must see of an LLM that answers behind the requests; how long it took, nobody has waited
OF_THE_ARM = (MetricName.LLM_CALLS, MetricName.LLM_REJECTED, MetricName.PARSE_FAILURE, MetricName.COST_MICRO_USD)


def measured(result: WarmResult) -> dict[str, float]:
    """A result's values by metric name: texts, calls, tokens and micro-USD."""
    usage = result.usage
    return {
        WarmMetric.TEXTS_JUDGED: result.written,
        WarmMetric.TEXTS_KNOWN: result.known,
        WarmMetric.TEXTS_MISSING: result.missing,
        WarmMetric.SCORES_LOST: result.unwritten,
        MetricName.LLM_CALLS: usage.llm_calls,
        MetricName.TIMEOUT: usage.timeouts,
        MetricName.THROTTLED: usage.throttled,
        MetricName.LLM_REJECTED: usage.rejected,
        MetricName.PARSE_FAILURE: usage.parse_failures,
        MetricName.INPUT_TOKENS: usage.input_tokens,
        MetricName.OUTPUT_TOKENS: usage.output_tokens,
        MetricName.COST_MICRO_USD: usage.cost_micro_usd,
    }
