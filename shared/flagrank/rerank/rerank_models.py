"""The judge over a rerank model: one query, all texts, one call."""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

from flagrank.domain import Usage
from flagrank.errors import (
    BudgetExhausted,
    LLMRejected,
    LLMThrottled,
    LLMUnavailable,
    LowCoverage,
    MalformedAnswer,
    RerankError,
    RerankTimeout,
    UnknownRerankError,
)
from flagrank.flags.document import FlagDocument
from flagrank.ports import RerankClient, Scored
from flagrank.rerank.judge import Judgement
from flagrank.rerank.parsing import MIN_COVERAGE
from flagrank.rerank.pricing import DOCUMENTS_PER_QUERY, Price, cost_micro_usd
from flagrank.rerank.prompting import clean, estimate_tokens
from flagrank.timing import Deadline

type Scale = Literal["probability", "logit"]

# where relevance begins and ends, in log-odds: a probability of 0.00005 and one of 0.99995
LOGIT_BOUND = 10.0
# what was never judged is not charged; a late answer was judged, and is
UNBILLED = (LLMThrottled, LLMRejected, LLMUnavailable)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RerankModelJudge:
    """A Judge over a rerank model, whose scores are probabilities or log-odds. Prices as for ListwiseJudge."""

    client: RerankClient
    executor: Executor
    prices: Mapping[str, Price]
    scale: Scale = "probability"

    def version(self, flag: FlagDocument) -> str:
        """See Judge."""
        return f"rerank-1-{self.scale}"

    def most_micro_usd(self, size: int, flag: FlagDocument) -> int:
        """See Judge: the queries of one call."""
        return cost_micro_usd(self.prices, flag.model_id, 0, 0, math.ceil(size / DOCUMENTS_PER_QUERY))

    def judge(self, texts: Mapping[int, str], intent: str, flag: FlagDocument, deadline: Deadline) -> Judgement:
        """See Judge. The last texts are left out to keep to `max_input_tokens`; nothing is asked twice."""
        asked = affordable(texts, intent, flag.max_input_tokens)
        if not asked:
            return Judgement(trouble=BudgetExhausted("max_input_tokens leaves no room for a single item"))
        usage = Usage(llm_calls=1)
        relevance: Mapping[int, int] = {}
        trouble: RerankError | None = None
        try:
            relevance = self._relevance(list(asked.values()), intent, flag, deadline)
        except RerankError as error:
            trouble = error
        except Exception as error:
            logger.exception("a call failed in a way that nobody foresaw")
            trouble = UnknownRerankError(repr(error))
        count(trouble, usage)
        if not isinstance(trouble, UNBILLED):
            queries = math.ceil(len(asked) / DOCUMENTS_PER_QUERY)
            usage.cost_micro_usd = cost_micro_usd(self.prices, flag.model_id, 0, 0, queries)
        places = list(asked)
        return Judgement({places[index]: score for index, score in relevance.items()}, usage, trouble)

    def _relevance(self, texts: list[str], intent: str, flag: FlagDocument, deadline: Deadline) -> dict[int, int]:
        call = self.executor.submit(
            self.client.rerank, clean(intent), texts, model_id=flag.model_id, timeout_ms=flag.call_budget_ms
        )
        try:
            scores = call.result(deadline.remaining_ms() / 1000)
        except TimeoutError as error:
            call.cancel()
            raise RerankTimeout("the call outlived its budget") from error
        return parse_scores(scores, len(texts), self.scale)


def affordable(texts: Mapping[int, str], intent: str, max_input_tokens: int) -> dict[int, str]:
    """The first cleaned texts by position, as many as the tokens allow; empty ones are left out."""
    chosen: dict[int, str] = {}
    left = max_input_tokens
    for place in sorted(texts):
        text = clean(texts[place])
        # the model reads the query beside each text
        left -= estimate_tokens(intent + text)
        if left < 0:
            break
        if text:
            chosen[place] = text
    return chosen


def parse_scores(scores: Scored, size: int, scale: Scale) -> dict[int, int]:
    """Relevance 0..100 by index, for the valid scores; an index that is scored twice is not scored.

    Raises MalformedAnswer where no score is valid, LowCoverage where less than half of the `size` texts are left.
    """
    times = Counter(index for index, _ in scores)
    valid = {index: found for index, found in _valid(scores, scale) if 0 <= index < size and times[index] == 1}
    if not valid:
        raise MalformedAnswer(f"no score is a {scale}")
    if len(valid) < MIN_COVERAGE * size:
        raise LowCoverage(f"{len(valid)} of {size} items judged")
    return {index: relevance_of(log_odds) for index, log_odds in valid.items()}


def relevance_of(log_odds: float) -> int:
    """Relevance 0..100 of a text, from its score alone: 50 where the model cannot say, 0 and 100 from LOGIT_BOUND on.

    A function of one score, so that scores of one intent can be cached by text and merged with those of a later call.
    Log-odds, since rounded probabilities would tie most of a list at 0 (infra/decisions/0072).
    """
    bounded = min(max(log_odds, -LOGIT_BOUND), LOGIT_BOUND)
    return round(50 + 50 * bounded / LOGIT_BOUND)


def _valid(scores: Scored, scale: Scale) -> Iterator[tuple[int, float]]:
    for index, score in scores:
        if scale == "logit" and math.isfinite(score):
            yield index, score
        elif scale == "probability" and 0 <= score <= 1:
            yield index, _log_odds(score)


def _log_odds(probability: float) -> float:
    if probability in (0, 1):
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1 - probability))


def count(trouble: RerankError | None, usage: Usage) -> None:
    """Counts a failed call under its name."""
    usage.timeouts += isinstance(trouble, RerankTimeout)
    usage.throttled += isinstance(trouble, LLMThrottled)
    usage.rejected += isinstance(trouble, LLMRejected)
    usage.parse_failures += isinstance(trouble, MalformedAnswer | LowCoverage)
