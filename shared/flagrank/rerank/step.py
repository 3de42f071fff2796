"""The treated arm's part in a request: whether to ask the LLM at all, and the order that comes of it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from flagrank.candidates.als import User
from flagrank.domain import Candidate, Mode, Ranked, Reason, RecommendRequest, RerankTally
from flagrank.errors import RerankError
from flagrank.flags.assignment import RolloutDecision
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors
from flagrank.ranking.scoring import baseline_order, hybrid_order
from flagrank.rerank.gate import worth_asking
from flagrank.rerank.intent import PROFILE_ITEMS, Intent, profile_intent, rewrite_query
from flagrank.rerank.reranker import Reranker
from flagrank.timing import Deadline

NO_INTENT = Intent()

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reranked:
    """The pool after the rerank step. `mode` is None where the LLM had no say in the order that is served.

    `shadow` is the order that would have been served but for shadow mode; its first `head` entries are those of `pool`.
    """

    pool: list[Ranked]
    reason: Reason
    mode: Mode | None = None
    intent: Intent = NO_INTENT
    attempted: bool = False
    shadow: list[Ranked] | None = None
    head: int = 0


@dataclass(frozen=True, slots=True)
class RerankStep:
    """One treated request: what the flag allows it, until when, and the tally of what it used."""

    reranker: Reranker
    flag: FlagDocument
    decision: RolloutDecision
    deadline: Deadline
    tally: RerankTally

    def rerank(self, factors: Factors, user: User, query: RecommendRequest, pool: Sequence[Candidate]) -> Reranked:
        """The pool with its head as the LLM wants it, the baseline's order on any trouble; raises nothing."""
        try:
            intent = user_intent(factors, user, query.query)
            useless = self._why_useless(user, query, pool, intent)
            if useless:
                return Reranked(baseline_order(pool), useless, intent=intent)
            return self._asked(pool, intent)
        except Exception:
            return fallback_after_bug(pool)

    def _asked(self, pool: Sequence[Candidate], intent: Intent) -> Reranked:
        flag, baseline, head = self.flag, baseline_order(pool), pool[: self.flag.top_m]
        try:
            relevance = self.reranker.rerank(head, intent.text, flag, self.deadline, self.tally)
        except RerankError as error:
            return Reranked(baseline, error.reason, Mode.FALLBACK_BASELINE, intent, attempted=True)
        hybrid = hybrid_order(pool, relevance, flag.alpha)
        if flag.mode == "shadow":
            return Reranked(baseline, Reason.SHADOW, intent=intent, attempted=True, shadow=hybrid, head=len(head))
        mode = Mode.HYBRID_RERANK if len(relevance) == len(head) else Mode.PARTIAL_RERANK
        return Reranked(hybrid, self.decision.reason, mode, intent, attempted=True)

    def _why_useless(
        self, user: User, query: RecommendRequest, pool: Sequence[Candidate], intent: Intent
    ) -> Reason | None:
        if self.flag.alpha >= 1:
            return Reason.ALPHA_ONE
        if not intent:
            return Reason.NO_INTENT
        if len(pool) < 2:
            return Reason.NOTHING_TO_RERANK
        has_query, interactions = query.query is not None, len(user.seen)
        is_open = worth_asking(self.flag, pool, has_query=has_query, interactions=interactions, top_k=query.top_k)
        return None if is_open else Reason.GATED


def user_intent(factors: Factors, user: User, query: str | None) -> Intent:
    """The query's intent, or without a query what recurs in the user's recent items; empty for a silent stranger."""
    if query is not None:
        return rewrite_query(query, factors.lexicon)
    recent = [factors.catalog[row] for row in user.seen[-PROFILE_ITEMS:].tolist()]
    return profile_intent(recent, factors.lexicon)


def fallback_after_bug(pool: Sequence[Candidate]) -> Reranked:
    """The fallback of an exception that is being handled: even a bug may cost only the rerank."""
    logger.exception("the rerank failed in a way nobody foresaw")
    return Reranked(baseline_order(pool), Reason.UNKNOWN, Mode.FALLBACK_BASELINE, attempted=True)
