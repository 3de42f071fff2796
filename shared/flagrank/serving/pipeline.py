"""One request, top to bottom: ids, decision, user, candidates, Stage 2, rerank, rules and diversity, answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from flagrank.candidates.generate import CandidateSet, generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import User, as_user
from flagrank.domain import (
    Arm,
    Candidate,
    Diagnostics,
    Mode,
    QueryMatch,
    Ranked,
    Recommendation,
    RecommendRequest,
    RerankTally,
    ShadowComparison,
    UserKind,
    Versions,
)
from flagrank.errors import BaselineFailed
from flagrank.flags.assignment import RolloutDecision, decide
from flagrank.model.arrays import Rows, Scores
from flagrank.model.factors import Factors
from flagrank.ports import Clock, FactorStore, FlagSource, FlagState
from flagrank.ranking.pool import Pool
from flagrank.ranking.postprocess import PostProcessor, pool_size
from flagrank.ranking.scoring import learned_order, query_order
from flagrank.rerank.reranker import Reranker
from flagrank.rerank.step import AskedQuery, Reranked, RerankStep, fallback_after_bug
from flagrank.serving.known_users import KnownUsers
from flagrank.serving.resolve import ResolvedRequest, resolve
from flagrank.serving.resolve_query import ResolvedQuery, resolve_query
from flagrank.serving.resolve_rules import RulesBySet
from flagrank.serving.shadow import compare
from flagrank.timing import StepWatch

FLAG_WAIT_MS = 100.0
# of S3, which answers nearly every read in less
USER_WAIT_MS = 100.0


@dataclass(frozen=True, slots=True)
class Recommender:
    """The pipeline over its ports."""

    factors: FactorStore
    flags: FlagSource
    reranker: Reranker
    rules: RulesBySet
    clock: Clock
    users: KnownUsers = field(default_factory=KnownUsers)

    def prepare(self, factors: Factors) -> None:
        """Works out what is worked out once for a set, while the one before it still serves."""
        self.rules.over(factors)
        self.users.prepare(factors)

    def recommend(self, request: RecommendRequest) -> Recommendation:
        """The answer to one request. Raises InvalidRequest, FactorsUnavailable, and BaselineFailed for a bug."""
        watch, tally, factors = StepWatch(self.clock), RerankTally(), self.factors.current()
        with watch.step("user"):
            resolved = resolve(request, factors, self.rules.over(factors))
        with watch.step("flag"):
            flag = self.flags.current(FLAG_WAIT_MS)
            decision = decide(flag.document, resolved.user_id)
        with _named_failure(decision):
            with watch.step("user"):
                found_user = self.users.find(factors, resolved.user_id, _user_wait_ms(watch, flag))
                user = as_user(factors, found_user.known, resolved.history)
                query = resolve_query(request.query, factors) if request.query is not None else None
            with watch.step("candidates"):
                wanted = _wanted(factors, user, resolved, query, pool_size(self.rules.given))
                found = generate(factors, wanted)
            with watch.step("stage2"):
                match = query.match(factors, found) if query else None
                baseline = Pool(factors, *self._kept(*_ordered(factors, user, found), resolved.pinned))
            with watch.step("rerank"):
                if decision.arm is Arm.TREATMENT and flag.document is not None:
                    deadline = watch.deadline(flag.document.request_budget_ms)
                    step = RerankStep(self.reranker, flag.document, decision, deadline, tally)
                    reranked = step.rerank(factors, user.seen, _asked(factors, query, match), baseline, request.top_k)
                else:
                    reranked = Reranked(baseline, decision.reason)
            with watch.step("rules"):
                never = frozenset(wanted.masked.tolist())
                processor = PostProcessor(
                    self.rules.given, factors, resolved.pinned, never, request.top_k, resolved.eligible
                )
                reranked, items, shadow = _listed(reranked, baseline, processor)
                items = _described(items, factors, found) if request.explain else items
            watch.finish()
            return Recommendation(
                user_id=resolved.user_id,
                items=tuple(items),
                mode=reranked.mode or (Mode.COLD_START if user.kind is UserKind.COLD else Mode.BASELINE),
                arm=decision.arm,
                reason=reranked.reason,
                versions=_versions(factors, flag, reranked),
                diagnostics=Diagnostics(
                    user=user.kind,
                    elapsed_ms=watch.elapsed_ms,
                    tally=tally,
                    intent=reranked.intent.text,
                    rerank_attempted=reranked.attempted,
                    assignment=decision.reason,
                    draw=decision.draw,
                    ignored_ids=resolved.ignored_ids,
                    unknown_category=resolved.unknown_category,
                    flag_stale=flag.stale,
                    shadow=shadow,
                    query=match,
                    llm_share=reranked.llm_share,
                    user_problem=found_user.problem,
                    user_read=found_user.read,
                ),
            )

    def _kept(self, rows: Rows, scores: Scores, pinned: Rows) -> tuple[Rows, Scores]:
        # nothing below the pool can be listed but pins
        size = pool_size(self.rules.given)
        if not len(pinned):
            return rows[:size], scores[:size]
        kept = (np.arange(len(rows)) < size) | np.isin(rows, pinned)
        return rows[kept], scores[kept]


@contextmanager
def _named_failure(decision: RolloutDecision) -> Iterator[None]:
    # the arm that is recorded must be the one that was decided: another decision may be made under a newer flag
    try:
        yield
    except Exception as error:
        raise BaselineFailed(decision.draw, decision.arm, decision.reason) from error


def _user_wait_ms(watch: StepWatch, flag: FlagState) -> float:
    # a budget that is spent still leaves the baseline to serve, which is another one for a user who is known
    if flag.document is None:
        return USER_WAIT_MS
    return min(USER_WAIT_MS, watch.deadline(flag.document.request_budget_ms).remaining_ms())


def _wanted(
    factors: Factors, user: User, resolved: ResolvedRequest, query: ResolvedQuery | None, size: int
) -> CandidateRequest:
    count = max(size, factors.stage2.pool) if factors.stage2 else size
    terms = query.terms if query else ()
    return CandidateRequest(user, count, terms, resolved.excluded, resolved.eligible, resolved.pinned)


def _ordered(factors: Factors, user: User, found: CandidateSet) -> tuple[Rows, Scores]:
    rows, scores = found.rows, found.taste
    # a cold user's candidates come by popularity: there is no history to learn an order from
    if user.vector is not None:
        rows, scores = learned_order(factors, user.seen, rows, scores)
    if found.relevance is None or not found.matches:
        return rows, scores
    relevance = dict(zip(found.rows.tolist(), found.relevance.tolist(), strict=True))
    return query_order(rows, np.array([relevance[row] for row in rows.tolist()]))


def _asked(factors: Factors, query: ResolvedQuery | None, match: QueryMatch | None) -> AskedQuery | None:
    # what no text meets names nothing that a judge could find among candidates of taste: it is served as no query is,
    # and made-up words buy no judgements (infra/decisions/0061)
    if query is None or match is None or (factors.lexical is not None and not match.matches):
        return None
    return AskedQuery(query.intent, match.met_whole)


def _listed(
    reranked: Reranked, baseline: Pool, processor: PostProcessor
) -> tuple[Reranked, list[Ranked], ShadowComparison | None]:
    try:
        items, shadow = processor.apply(reranked.pool), None
        if reranked.shadow is not None:
            head = slice(reranked.head)
            kept_back = processor.apply(reranked.shadow)
            shadow = compare(items, kept_back, reranked.pool[head], reranked.shadow[head])
    except Exception:
        if not reranked.attempted and reranked.mode is None:
            raise
        failed = fallback_after_bug(baseline)
        return failed, processor.apply(failed.pool), None
    return reranked, items, shadow


def _described(items: list[Ranked], factors: Factors, found: CandidateSet) -> list[Ranked]:
    # for the few that are explained: every request would pay for those of its whole pool
    sources = found.sources()

    def described(candidate: Candidate) -> Candidate:
        row = candidate.row
        return replace(candidate, sources=sources.get(row, ()), attributes=factors.attributes_of(row))

    return [replace(entry, candidate=described(entry.candidate)) for entry in items]


def _versions(factors: Factors, flag: FlagState, reranked: Reranked) -> Versions:
    if not reranked.attempted or flag.document is None:
        return Versions(factors.version, flag.version)
    return Versions(factors.version, flag.version, flag.document.model_id, reranked.prompt_version)
