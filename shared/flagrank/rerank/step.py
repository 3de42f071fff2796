"""The treated arm's step of a request: whether to ask the LLM at all, and the order that comes of it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from flagrank.domain import Mode, Ranked, Reason, RerankTally
from flagrank.errors import AllTied, LowCoverage, RerankError
from flagrank.flags.assignment import RolloutDecision
from flagrank.flags.document import FlagDocument
from flagrank.model.arrays import Rows
from flagrank.model.factors import Factors
from flagrank.model.student_features import relevance as student_relevance
from flagrank.ranking.hybrid import hybrid_order
from flagrank.ranking.pool import Pool
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
    """The pool after the rerank step. `mode` is None where no relevance had a part in the order that is served.

    `attempted` says that a rerank was asked for, under `prompt_version`. `shadow` is the order that shadow mode kept
    back; its first `head` entries are those of `pool`. `llm_share` is the share of the head whose relevance, in either
    order, is the LLM's.
    """

    pool: Sequence[Ranked]
    reason: Reason
    mode: Mode | None = None
    intent: Intent = NO_INTENT
    attempted: bool = False
    prompt_version: str | None = None
    shadow: Sequence[Ranked] | None = None
    head: int = 0
    llm_share: float | None = None


@dataclass(frozen=True, slots=True)
class AskedQuery:
    """The query of a request: what to judge by, and whether a candidate meets it whole (see QueryMatch)."""

    intent: Intent
    met_whole: bool = False


@dataclass(frozen=True, slots=True)
class RerankStep:
    """The step of one treated request: what the flag allows, until when, and the tally of what was used."""

    reranker: Reranker
    flag: FlagDocument
    decision: RolloutDecision
    deadline: Deadline
    tally: RerankTally

    def rerank(self, factors: Factors, seen: Rows, query: AskedQuery | None, baseline: Pool, top_k: int) -> Reranked:
        """The baseline with its head in the blended order, or as it is on any trouble; raises nothing.

        `seen` holds the item rows that the user has met, oldest first. `query` is None for a request without one.
        """
        try:
            intent = profile_of(factors, seen) if query is None else query.intent
            has_query = query is not None
            alpha = self.flag.alpha_for(has_query)
            useless = _why_useless(alpha, intent, len(baseline)) or self._left_to_the_baseline(query)
            if useless:
                return Reranked(baseline, useless, intent=intent)
            is_open = worth_asking(self.flag, baseline.scores, has_query=has_query, interactions=len(seen), top_k=top_k)
            head = _Head(factors, intent, baseline, min(self.flag.top_m, len(baseline)), alpha)
            if not is_open:
                gated = Reranked(baseline, Reason.GATED, intent=intent)
                return self._filled(gated, head, {}) if self._has_student(factors) else gated
            return self._ask(head)
        except Exception:
            return fallback_after_bug(baseline)

    def _left_to_the_baseline(self, query: AskedQuery | None) -> Reason | None:
        # the student has no say either: it judges as its LLM does (infra/decisions/0061)
        is_left = query is not None and query.met_whole and not self.flag.judge_met_queries
        return Reason.GATED if is_left else None

    def _ask(self, head: "_Head") -> Reranked:
        flag, size = self.flag, head.size
        version = self.reranker.prompt_version(flag)
        asked = partial(Reranked, head.baseline, intent=head.intent, attempted=True, prompt_version=version)
        judged = self.reranker.rerank(head.baseline.texts(size), head.intent.text, flag, self.deadline, self.tally)
        trouble = why_unusable(judged, size)
        has_student = self._has_student(head.factors)
        if trouble is None:
            good = asked(self.decision.reason)
            if has_student and len(judged.relevance) < size:
                return self._filled(good, head, judged.relevance)
            return self._blended(good, head, judged.relevance, {})
        failed = asked(Reason.WARMING) if judged.warming else asked(trouble.reason, Mode.FALLBACK_BASELINE)
        # beside a student's even a few scores of the LLM are of use, if they tell anything apart
        usable = judged.relevance if tells_apart(judged.relevance.values()) else {}
        return self._filled(failed, head, usable) if has_student else failed

    def _has_student(self, factors: Factors) -> bool:
        return self.flag.student == "fill" and factors.student is not None

    def _filled(self, plain: Reranked, head: "_Head", relevance: Mapping[int, int]) -> Reranked:
        student = head.by_student(relevance)
        if not relevance and not tells_apart(student.values()):
            return plain
        return self._blended(plain, head, relevance, student)

    def _blended(
        self, plain: Reranked, head: "_Head", relevance: Mapping[int, int], student: Mapping[int, int]
    ) -> Reranked:
        """`plain`, which has the baseline and the reason, with the order that the LLM's and the student's scores give.

        In shadow it keeps that order back, and the reason says so unless there was trouble.
        """
        hybrid = hybrid_order(head.baseline, relevance, head.alpha, student, self.flag.promotion_cap)
        share = len(relevance) / head.size
        if self.flag.mode == "shadow":
            reason = Reason.SHADOW if plain.reason is self.decision.reason else plain.reason
            return replace(plain, reason=reason, shadow=hybrid, head=head.size, llm_share=share)
        whole = Mode.HYBRID_RERANK if relevance else Mode.STUDENT_RERANK
        mode = whole if len(relevance) + len(student) == head.size else Mode.PARTIAL_RERANK
        return replace(plain, pool=hybrid, mode=mode, llm_share=share)


@dataclass(frozen=True, slots=True)
class _Head:
    """What is judged: the first `size` items of the baseline, against which intent, and what relevance weighs."""

    factors: Factors
    intent: Intent
    baseline: Pool
    size: int
    alpha: float

    def by_student(self, judged: Mapping[int, int]) -> dict[int, int]:
        """The student's relevance 0..100 by position, of the items that are not judged."""
        places = [place for place in range(self.size) if place not in judged]
        rows = np.array([self.baseline.rows[place] for place in places], np.int64)
        scores = student_relevance(self.factors, self.intent.text, rows).tolist()
        return dict(zip(places, scores, strict=True))


def why_unusable(judged: Judged, size: int) -> RerankError | None:
    """Why the relevance of a head of `size` items gives no order; None if it does."""
    if len(judged.relevance) < MIN_COVERAGE * size:
        return judged.trouble or LowCoverage(f"{len(judged.relevance)} of {size} items judged")
    return None if tells_apart(judged.relevance.values()) else AllTied("every item was judged the same")


def profile_of(factors: Factors, seen: Rows) -> Intent:
    """What recurs in the recent items of `seen`; empty for a user without any."""
    recent = [factors.catalog[row] for row in seen[-PROFILE_ITEMS:].tolist()]
    return profile_intent(recent, factors.lexicon)


def _why_useless(alpha: float, intent: Intent, size: int) -> Reason | None:
    if alpha >= 1:
        return Reason.ALPHA_ONE
    if not intent:
        return Reason.NO_INTENT
    return Reason.NOTHING_TO_RERANK if size < 2 else None


def fallback_after_bug(baseline: Sequence[Ranked]) -> Reranked:
    """The fallback for the exception that is being handled: even a bug may cost only the rerank."""
    logger.exception("the rerank failed in a way that nobody foresaw")
    return Reranked(baseline, Reason.UNKNOWN, Mode.FALLBACK_BASELINE, attempted=True)
