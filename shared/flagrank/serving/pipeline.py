"""One request, top to bottom: user, candidates, decision, rerank, rules and diversity, answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flagrank.candidates.als import candidates, resolve_user, retrieve
from flagrank.domain import (
    Arm,
    Candidate,
    Diagnostics,
    Mode,
    Ranked,
    Recommendation,
    RecommendRequest,
    RerankTally,
    ShadowComparison,
    UserId,
    UserKind,
    Versions,
)
from flagrank.flags.assignment import RolloutDecision, decide
from flagrank.model.factors import Factors, Rows, Scores
from flagrank.ports import Clock, FactorStore, FlagSource, FlagState
from flagrank.ranking.postprocess import PostProcessor, item_rows, pool_size, rule_rows
from flagrank.ranking.rules import RuleSet
from flagrank.ranking.scoring import baseline_order, learned_order
from flagrank.rerank.prompting import PROMPT_VERSION
from flagrank.rerank.reranker import Reranker
from flagrank.rerank.step import Reranked, RerankStep, fallback_after_bug
from flagrank.serving.shadow import compare
from flagrank.timing import Deadline, StepWatch

FLAG_WAIT_MS = 100.0


@dataclass(frozen=True, slots=True)
class Recommender:
    """The pipeline over its ports."""

    factors: FactorStore
    flags: FlagSource
    reranker: Reranker
    rules: RuleSet
    clock: Clock

    def recommend(self, query: RecommendRequest) -> Recommendation:
        """The answer to one request; raises InvalidRequest and FactorsUnavailable, nothing for any other trouble."""
        watch, tally, started_s = StepWatch(self.clock), RerankTally(), self.clock.monotonic()
        factors = self.factors.current()
        with watch.step("user"):
            user_id = factors.parse_id("user_id", query.user_id)
            history, unknown_history = item_rows(factors, "history", query.history)
            excluded, unknown_excluded = item_rows(factors, "exclude", query.exclude)
            user = resolve_user(factors, user_id, history)
        with watch.step("candidates"):
            pins = rule_rows(factors, self.rules.pin)
            unwanted = np.concatenate([excluded, rule_rows(factors, self.rules.block)])
            eligible = factors.catalog.in_category(query.category) if query.category else None
            size = pool_size(self.rules)
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
                treatment = RerankStep(self.reranker, flag.document, decision, deadline, tally)
                reranked = treatment.rerank(factors, user, query, pool)
            else:
                reranked = Reranked(baseline_order(pool), decision.reason)
        with watch.step("rules"):
            never = frozenset(user.seen.tolist()).union(unwanted.tolist())
            post_processor = PostProcessor(self.rules, factors, pins, never, query.top_k)
            reranked, items, shadow = _served(reranked, pool, post_processor)
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

    def assigned(self, query: RecommendRequest) -> tuple[UserId, RolloutDecision]:
        """Whose request it is, and its arm; raises InvalidRequest and FactorsUnavailable."""
        user_id = self.factors.current().parse_id("user_id", query.user_id)
        return user_id, decide(self.flags.current(FLAG_WAIT_MS).document, user_id)


def _kept(factors: Factors, rows: Rows, scores: Scores, size: int, pins: Rows) -> list[Candidate]:
    # nothing below the pool can be listed but pins
    kept = np.arange(len(rows)) < size
    if len(pins):
        kept |= np.isin(rows, pins)
    return candidates(factors, rows[kept], scores[kept])


def _served(
    reranked: Reranked, pool: Sequence[Candidate], post_processor: PostProcessor
) -> tuple[Reranked, list[Ranked], ShadowComparison | None]:
    try:
        items, shadow = post_processor.apply(reranked.pool), None
        if reranked.shadow is not None:
            head = slice(reranked.head)
            shadow = compare(items, post_processor.apply(reranked.shadow), reranked.pool[head], reranked.shadow[head])
    except Exception:
        if not reranked.attempted:
            raise
        failed = fallback_after_bug(pool)
        return failed, post_processor.apply(failed.pool), None
    return reranked, items, shadow


def _versions(factors: Factors, flag: FlagState, attempted: bool) -> Versions:
    if not attempted or flag.document is None:
        return Versions(factors.version, flag.version)
    return Versions(factors.version, flag.version, flag.document.model_id, PROMPT_VERSION)
