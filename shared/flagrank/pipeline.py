"""One request, top to bottom: user, candidates, decision, rerank, rules and diversity, answer."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from flagrank.budget import Deadline, StepWatch
from flagrank.diversity import mmr
from flagrank.domain import (
    Arm,
    Candidate,
    Diagnostics,
    ItemId,
    Mode,
    Ranked,
    Reason,
    Recommendation,
    RecommendQuery,
    RerankTally,
    ShadowComparison,
    UserId,
    UserKind,
    Versions,
)
from flagrank.errors import RerankError
from flagrank.factors import Factors, Floats, Rows, Scores
from flagrank.gating import worth_asking
from flagrank.intent import PROFILE_ITEMS, Intent, profile_intent, rewrite_query
from flagrank.ports import Clock, FactorStore, FlagSource, FlagState
from flagrank.prompting import PROMPT_VERSION
from flagrank.reranking import Reranker
from flagrank.retrieval import User, candidates, resolve_user, retrieve
from flagrank.rollout import FlagDocument, RolloutDecision, decide
from flagrank.rules import capped, pinned, without
from flagrank.scoring import baseline_order, hybrid_order, learned_order
from flagrank.settings import RuleSet
from flagrank.shadow import compare

FLAG_WAIT_MS = 100.0
# the largest top_k and top_m: both arms rank the same pool. Rules that move items need more to choose from
POOL_SIZE = 100
POOL_SIZE_FOR_RULES = 200

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
class Recommender:
    """The pipeline over its ports."""

    factors: FactorStore
    flags: FlagSource
    reranker: Reranker
    rules: RuleSet
    clock: Clock

    def recommend(self, query: RecommendQuery) -> Recommendation:
        """The answer to one request; raises InvalidRequest and FactorsUnavailable, nothing for any other trouble."""
        watch, tally, started_s = StepWatch(self.clock), RerankTally(), self.clock.monotonic()
        factors = self.factors.current()
        with watch.step("user"):
            user_id = factors.parse_id("user_id", query.user_id)
            history, unknown_history = item_rows(factors, "history", query.history)
            excluded, unknown_excluded = item_rows(factors, "exclude", query.exclude)
            user = resolve_user(factors, user_id, history)
        with watch.step("candidates"):
            pins, blocked = self._rule_rows(factors)
            unwanted = np.concatenate([excluded, blocked])
            eligible = factors.catalog.in_category(query.category) if query.category else None
            size = self._pool_size()
            wanted = max(size, factors.stage2.pool) if factors.stage2 else size
            rows, scores = retrieve(factors, user, wanted, unwanted, eligible, always=pins)
        with watch.step("stage2"):
            # a stranger's candidates are by popularity: there is nothing to learn an order from
            if user.vector is not None:
                rows, scores = learned_order(factors, user.seen, rows, scores)
            pool = _kept(factors, rows, scores, size, pins)
        with watch.step("flag"):
            flag = self.flags.current(FLAG_WAIT_MS)
            decision = decide(flag.document, user_id)
        with watch.step("rerank"):
            if decision.arm is Arm.TREATMENT and flag.document is not None:
                deadline = Deadline(self.clock, started_s + flag.document.request_budget_ms / 1000)
                reranked = self._treated(factors, user, query, pool, flag.document, decision, deadline, tally)
            else:
                reranked = Reranked(baseline_order(pool), decision.reason)
        with watch.step("rules"):
            never = {*user.seen.tolist(), *unwanted.tolist()}
            listed = partial(self._listed, factors=factors, never=never, pins=pins.tolist(), top_k=query.top_k)
            reranked, items, shadow = _served(reranked, pool, listed)
        watch.elapsed_ms["total"] = (self.clock.monotonic() - started_s) * 1000
        return Recommendation(
            user_id=user_id,
            items=tuple(items),
            mode=reranked.mode or (Mode.COLD_START if user.kind is UserKind.COLD else Mode.BASELINE),
            arm=decision.arm,
            reason=reranked.reason,
            versions=_versions(factors, flag, reranked.attempted),
            diagnostics=Diagnostics(
                user=user.kind,
                elapsed_ms=watch.elapsed_ms,
                tally=tally,
                intent=reranked.intent.text,
                rerank_attempted=reranked.attempted,
                assignment=decision.reason,
                ignored_ids=unknown_history + unknown_excluded,
                flag_stale=flag.stale,
                shadow=shadow,
            ),
        )

    def assigned(self, query: RecommendQuery) -> tuple[UserId, RolloutDecision]:
        """Whose request it is, and its arm; raises InvalidRequest and FactorsUnavailable."""
        user_id = self.factors.current().parse_id("user_id", query.user_id)
        return user_id, decide(self.flags.current(FLAG_WAIT_MS).document, user_id)

    def _treated(
        self,
        factors: Factors,
        user: User,
        query: RecommendQuery,
        pool: Sequence[Candidate],
        flag: FlagDocument,
        decision: RolloutDecision,
        deadline: Deadline,
        tally: RerankTally,
    ) -> Reranked:
        try:
            intent = user_intent(factors, user, query.query)
            useless = _why_useless(pool, intent, flag, user, query)
            if useless:
                return Reranked(baseline_order(pool), useless, intent=intent)
            return self._rerank(pool, intent, flag, decision, deadline, tally)
        except Exception:
            return _failed(pool)

    def _rerank(
        self,
        pool: Sequence[Candidate],
        intent: Intent,
        flag: FlagDocument,
        decision: RolloutDecision,
        deadline: Deadline,
        tally: RerankTally,
    ) -> Reranked:
        baseline, head = baseline_order(pool), pool[: flag.top_m]
        try:
            relevance = self.reranker.rerank(head, intent.text, flag, deadline, tally)
        except RerankError as error:
            return Reranked(baseline, error.reason, Mode.FALLBACK_BASELINE, intent, attempted=True)
        hybrid = hybrid_order(pool, relevance, flag.alpha)
        if flag.mode == "shadow":
            return Reranked(baseline, Reason.SHADOW, intent=intent, attempted=True, shadow=hybrid, head=len(head))
        mode = Mode.HYBRID_RERANK if len(relevance) == len(head) else Mode.PARTIAL_RERANK
        return Reranked(hybrid, decision.reason, mode, intent, attempted=True)

    def _listed(
        self, pool: Sequence[Ranked], factors: Factors, never: set[int], pins: Sequence[int], top_k: int
    ) -> list[Ranked]:
        diverse = mmr(without(pool, never), self._mmr_space(factors), self.rules.mmr_lambda, top_k)
        first = pinned(diverse, pins)
        return capped(first, self.rules.category_cap, top_k, pins, self.rules.new_item_share)[:top_k]

    def _pool_size(self) -> int:
        moves_items = self.rules.category_cap > 0 or self.rules.mmr_lambda < 1
        return POOL_SIZE_FOR_RULES if moves_items else POOL_SIZE

    def _mmr_space(self, factors: Factors) -> Floats:
        if self.rules.mmr_space == "embeddings" and factors.item_embeddings is not None:
            return factors.item_embeddings
        return factors.item_factors

    def _rule_rows(self, factors: Factors) -> tuple[Rows, Rows]:
        return rule_rows(factors, self.rules.pin), rule_rows(factors, self.rules.block)


def item_rows(factors: Factors, field: str, item_ids: Sequence[ItemId]) -> tuple[Rows, int]:
    """The rows (int64) of the known item ids, in order, and how many were unknown; raises InvalidRequest."""
    rows = factors.item_rows([factors.parse_id(field, item_id) for item_id in item_ids])
    known = [row for row in rows if row is not None]
    return np.array(known, np.int64), len(rows) - len(known)


def rule_rows(factors: Factors, item_ids: Sequence[ItemId]) -> Rows:
    """The rows (int64) of an operator's item ids; one that this catalogue cannot hold is left out."""
    possible = [item_id for item_id in item_ids if factors.can_hold(item_id)]
    return item_rows(factors, "rules", possible)[0]


def user_intent(factors: Factors, user: User, query: str | None) -> Intent:
    """The query's intent, or without a query what recurs in the user's recent items; empty for a silent stranger."""
    if query is not None:
        return rewrite_query(query, factors.lexicon)
    recent = [factors.catalog[row] for row in user.seen[-PROFILE_ITEMS:].tolist()]
    return profile_intent(recent, factors.lexicon)


def _kept(factors: Factors, rows: Rows, scores: Scores, size: int, pins: Rows) -> list[Candidate]:
    # nothing below the pool can be listed but pins
    kept = np.arange(len(rows)) < size
    if len(pins):
        kept |= np.isin(rows, pins)
    return candidates(factors, rows[kept], scores[kept])


def _served(
    reranked: Reranked, pool: Sequence[Candidate], listed: Callable[[Sequence[Ranked]], list[Ranked]]
) -> tuple[Reranked, list[Ranked], ShadowComparison | None]:
    try:
        items, shadow = listed(reranked.pool), None
        if reranked.shadow is not None:
            head = slice(reranked.head)
            shadow = compare(items, listed(reranked.shadow), reranked.pool[head], reranked.shadow[head])
    except Exception:
        if not reranked.attempted:
            raise
        failed = _failed(pool)
        return failed, listed(failed.pool), None
    return reranked, items, shadow


def _failed(pool: Sequence[Candidate]) -> Reranked:
    # the promise is that the baseline always answers, so even a bug may cost only the rerank
    logger.exception("the rerank failed in a way nobody foresaw")
    return Reranked(baseline_order(pool), Reason.UNKNOWN, Mode.FALLBACK_BASELINE, attempted=True)


def _why_useless(
    pool: Sequence[Candidate], intent: Intent, flag: FlagDocument, user: User, query: RecommendQuery
) -> Reason | None:
    if flag.alpha >= 1:
        return Reason.ALPHA_ONE
    if not intent:
        return Reason.NO_INTENT
    if len(pool) < 2:
        return Reason.NOTHING_TO_RERANK
    has_query, interactions = query.query is not None, len(user.seen)
    is_open = worth_asking(flag, pool, has_query=has_query, interactions=interactions, top_k=query.top_k)
    return None if is_open else Reason.GATED


def _versions(factors: Factors, flag: FlagState, attempted: bool) -> Versions:
    if not attempted or flag.document is None:
        return Versions(factors.version, flag.version)
    return Versions(factors.version, flag.version, flag.document.model_id, PROMPT_VERSION)
