"""The treated arm's step of a request: whether to ask the LLM at all, and the order that comes of it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from flagrank.domain import Candidate, Mode, Ranked, Reason, RerankTally
from flagrank.errors import AllTied, LowCoverage, RerankError
from flagrank.flags.assignment import RolloutDecision
from flagrank.flags.document import FlagDocument
from flagrank.model.arrays import Rows
from flagrank.model.factors import Factors
from flagrank.ranking.scoring import hybrid_order
from flagrank.rerank.gate import worth_asking
from flagrank.rerank.intent import PROFILE_ITEMS, Intent, profile_intent
from flagrank.rerank.parsing import MIN_COVERAGE
from flagrank.rerank.records import tells_apart
from flagrank.rerank.reranker import Judged, Reranker
from flagrank.timing import Deadline

NO_INTENT = Intent()

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reranked:
    """The pool after the rerank step. `mode` is None where the LLM had no part in the order that is served.

    `attempted` says that a rerank was asked for, under `prompt_version`. `shadow` is the order that shadow mode kept
    back; its first `head` entries are those of `pool`.
    """

    pool: list[Ranked]
    reason: Reason
    mode: Mode | None = None
    intent: Intent = NO_INTENT
    attempted: bool = False
    prompt_version: str | None = None
    shadow: list[Ranked] | None = None
    head: int = 0


@dataclass(frozen=True, slots=True)
class RerankStep:
    """The step of one treated request: what the flag allows, until when, and the tally of what was used."""

    reranker: Reranker
    flag: FlagDocument
    decision: RolloutDecision
    deadline: Deadline
    tally: RerankTally

    def rerank(
        self, factors: Factors, seen: Rows, query: Intent | None, baseline: list[Ranked], top_k: int
    ) -> Reranked:
        """The baseline with its head in the blended order, or as it is on any trouble; raises nothing.

        `seen` holds the item rows that the user has met, oldest first. `query` is None for a request without one.
        """
        try:
            intent = profile_of(factors, seen) if query is None else query
            has_query = query is not None
            pool = [entry.candidate for entry in baseline]
            alpha = self.flag.alpha_for(has_query)
            useless = _why_useless(alpha, intent, pool)
            is_open = worth_asking(self.flag, pool, has_query=has_query, interactions=len(seen), top_k=top_k)
            if useless or not is_open:
                return Reranked(baseline, useless or Reason.GATED, intent=intent)
            return self._ask(baseline, pool[: self.flag.top_m], intent, alpha)
        except Exception:
            return fallback_after_bug(baseline)

    def _ask(self, baseline: list[Ranked], head: Sequence[Candidate], intent: Intent, alpha: float) -> Reranked:
        flag = self.flag
        asked = partial(Reranked, intent=intent, attempted=True, prompt_version=self.reranker.prompt_version(flag))
        judged = self.reranker.rerank(head, intent.text, flag, self.deadline, self.tally)
        relevance = judged.relevance
        if trouble := why_unusable(judged, len(head)):
            if judged.warming:
                return asked(baseline, Reason.WARMING)
            return asked(baseline, trouble.reason, Mode.FALLBACK_BASELINE)
        hybrid = hybrid_order(baseline, relevance, alpha)
        if flag.mode == "shadow":
            return asked(baseline, Reason.SHADOW, shadow=hybrid, head=len(head))
        mode = Mode.HYBRID_RERANK if len(relevance) == len(head) else Mode.PARTIAL_RERANK
        return asked(hybrid, self.decision.reason, mode)


def why_unusable(judged: Judged, size: int) -> RerankError | None:
    """Why the relevance of a head of `size` items gives no order; None if it does."""
    if len(judged.relevance) < MIN_COVERAGE * size:
        return judged.trouble or LowCoverage(f"{len(judged.relevance)} of {size} items judged")
    return None if tells_apart(judged.relevance.values()) else AllTied("every item was judged the same")


def profile_of(factors: Factors, seen: Rows) -> Intent:
    """What recurs in the recent items of `seen`; empty for a user without any."""
    recent = [factors.catalog[row] for row in seen[-PROFILE_ITEMS:].tolist()]
    return profile_intent(recent, factors.lexicon)


def _why_useless(alpha: float, intent: Intent, pool: Sequence[Candidate]) -> Reason | None:
    if alpha >= 1:
        return Reason.ALPHA_ONE
    if not intent:
        return Reason.NO_INTENT
    return Reason.NOTHING_TO_RERANK if len(pool) < 2 else None


def fallback_after_bug(baseline: list[Ranked]) -> Reranked:
    """The fallback for the exception that is being handled: even a bug may cost only the rerank."""
    logger.exception("the rerank failed in a way that nobody foresaw")
    return Reranked(baseline, Reason.UNKNOWN, Mode.FALLBACK_BASELINE, attempted=True)
