"""The treated arm's step of a request: whether to ask the LLM at all, and the order that comes of it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from flagrank.domain import Candidate, Mode, Ranked, Reason, RecommendRequest, RerankTally
from flagrank.errors import RerankError
from flagrank.flags.assignment import RolloutDecision
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors, Rows
from flagrank.ranking.scoring import baseline_order, hybrid_order
from flagrank.rerank.gate import worth_asking
from flagrank.rerank.intent import PROFILE_ITEMS, Intent, profile_intent, rewrite_query
from flagrank.rerank.reranker import Reranker
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

    def rerank(self, factors: Factors, seen: Rows, request: RecommendRequest, pool: Sequence[Candidate]) -> Reranked:
        """The pool with its head in the blended order, or in the baseline's order on any trouble; raises nothing.

        `seen` holds the item rows that the user has met, oldest first.
        """
        try:
            intent = user_intent(factors, seen, request.query)
            useless = self._why_useless(len(seen), request, pool, intent)
            if useless:
                return Reranked(baseline_order(pool), useless, intent=intent)
            return self._ask(pool, intent)
        except Exception:
            return fallback_after_bug(pool)

    def _ask(self, pool: Sequence[Candidate], intent: Intent) -> Reranked:
        flag, baseline, head = self.flag, baseline_order(pool), pool[: self.flag.top_m]
        asked = partial(Reranked, intent=intent, attempted=True, prompt_version=self.reranker.prompt_version(flag))
        try:
            relevance = self.reranker.rerank(head, intent.text, flag, self.deadline, self.tally)
        except RerankError as error:
            return asked(baseline, error.reason, Mode.FALLBACK_BASELINE)
        hybrid = hybrid_order(pool, relevance, flag.alpha)
        if flag.mode == "shadow":
            return asked(baseline, Reason.SHADOW, shadow=hybrid, head=len(head))
        mode = Mode.HYBRID_RERANK if len(relevance) == len(head) else Mode.PARTIAL_RERANK
        return asked(hybrid, self.decision.reason, mode)

    def _why_useless(
        self, interactions: int, request: RecommendRequest, pool: Sequence[Candidate], intent: Intent
    ) -> Reason | None:
        if self.flag.alpha >= 1:
            return Reason.ALPHA_ONE
        if not intent:
            return Reason.NO_INTENT
        if len(pool) < 2:
            return Reason.NOTHING_TO_RERANK
        has_query = request.query is not None
        is_open = worth_asking(self.flag, pool, has_query=has_query, interactions=interactions, top_k=request.top_k)
        return None if is_open else Reason.GATED


def user_intent(factors: Factors, seen: Rows, query: str | None) -> Intent:
    """The query's intent, or without a query what recurs in the recent items of `seen`; empty where both are."""
    if query is not None:
        return rewrite_query(query, factors.lexicon)
    recent = [factors.catalog[row] for row in seen[-PROFILE_ITEMS:].tolist()]
    return profile_intent(recent, factors.lexicon)


def fallback_after_bug(pool: Sequence[Candidate]) -> Reranked:
    """The fallback for the exception that is being handled: even a bug may cost only the rerank."""
    logger.exception("the rerank failed in a way that nobody foresaw")
    return Reranked(baseline_order(pool), Reason.UNKNOWN, Mode.FALLBACK_BASELINE, attempted=True)
