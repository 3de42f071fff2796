"""Requests through the serving pipeline, in one process and with time at a stand: evaluation measures what serves."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from flagrank.adapters.in_memory import (
    InlineExecutor,
    InMemoryFactorStore,
    InMemoryFlagSource,
    InMemoryJudgementQueue,
    InMemoryScoreCache,
    ManualClock,
)
from flagrank.domain import ItemId, Recommendation, RecommendRequest, UserId
from flagrank.flags.document import FlagDocument
from flagrank.model.factors import Factors
from flagrank.ports import LLMClient, ScoreCache
from flagrank.ranking.rules import RuleSet
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.handoff import Handoff
from flagrank.rerank.listwise import ListwiseJudge
from flagrank.rerank.pricing import ANY_MODEL, Price
from flagrank.rerank.reranker import IdentityReranker, LLMReranker, Reranker
from flagrank.rerank.spending import Allowance
from flagrank.serving.pipeline import Recommender
from flagrank.serving.resolve_rules import RulesBySet

BATCH_ITEMS = 10
CACHE_TTL_S = 24 * 3600
FREE = {ANY_MODEL: Price(input_usd=0, output_usd=0)}

# evaluation looks further down the list than the API does
LIST_LENGTH = 100


def baseline(factors: Factors, rules: RuleSet | None = None) -> Recommender:
    """The pipeline with the flag off."""
    store, flags = _store(factors), InMemoryFlagSource(None)
    return Recommender(store, flags, IdentityReranker(), RulesBySet(rules or RuleSet()), ManualClock())


def reranking(factors: Factors, llm: LLMClient, flag: FlagDocument, cache: ScoreCache | None = None) -> Recommender:
    """The pipeline with every user treated, over its own cache if none is shared."""
    clock, executor = ManualClock(), InlineExecutor()
    judge = ListwiseJudge(llm, executor, FREE, BATCH_ITEMS, BATCH_ITEMS)
    cache = cache or InMemoryScoreCache(clock)
    handoff = Handoff(cache, InMemoryJudgementQueue(), clock, executor)
    reranker = LLMReranker(judge, cache, Breaker(clock), clock, executor, CACHE_TTL_S, handoff, Allowance(cache))
    # what a worker would have judged by the next request is judged at once: time stands still here
    return treating(factors, reranker, flag.model_copy(update={"path": "inline"}))


def treating(factors: Factors, reranker: Reranker, flag: FlagDocument) -> Recommender:
    """The pipeline with every user treated, over any reranker."""
    treated = flag.model_copy(update={"enabled": True, "percent": 100.0})
    return Recommender(_store(factors), InMemoryFlagSource(treated), reranker, RulesBySet(RuleSet()), ManualClock())


def _store(factors: Factors) -> InMemoryFactorStore:
    # what is out of stock today was bought when it was there: the past is judged without attributes
    return InMemoryFactorStore(replace(factors, attributes={}) if factors.attributes else factors)


def answers(recommender: Recommender, users: Iterable[UserId], length: int = LIST_LENGTH) -> list[Recommendation]:
    """Each user's answer to a request without a query."""
    return [recommender.recommend(RecommendRequest(user_id, length)) for user_id in users]


def item_ids(answered: Sequence[Recommendation]) -> list[list[ItemId]]:
    """The lists that were served."""
    return [[entry.candidate.item_id for entry in answer.items] for answer in answered]
