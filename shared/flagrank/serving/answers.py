"""The answers as OpenAPI documents them: a schema and an example for each route. Only the documentation reads it.

A test holds them to what the API answers.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flagrank.domain import Arm, Mode, Reason

type AnyId = int | str
type AttributeOfItem = int | float | str


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Versions(_Answer):
    """What an answer was made of. Null where that part was not consulted."""

    factors: str
    flag: str | None
    model: str | None
    prompt: str | None


class ExplainedItem(_Answer):
    """An item of the answer, with `explain=true`."""

    item_id: AnyId
    title: str
    category: str
    attributes: dict[str, AttributeOfItem]
    new: bool = Field(description="training met it in no interaction")
    sources: list[str] = Field(description="what brought it among the candidates")
    baseline_rank: int = Field(description="its place without the LLM, from 1")
    baseline_score: float
    llm_score: float | None
    student_score: float | None
    final_score: float


class ShadowAnswer(_Answer):
    """The order that was not served, in shadow mode."""

    items: list[AnyId]
    changed: bool
    overlap: float
    kendall_tau: float


class QueryAnswer(_Answer):
    """What became of the query's words."""

    matches: int
    corrected: dict[str, str]
    unknown: list[str]
    met_whole: bool


class DiagnosticsAnswer(_Answer):
    """What the request took and cost, with `explain=true`."""

    user: str
    intent: str
    ignored_ids: int = Field(description="item ids in history and exclude that the set does not hold")
    unknown_category: str | None = Field(description="the category that was asked for, where no item is of it")
    flag_stale: bool
    shadow: ShadowAnswer | None
    query: QueryAnswer | None
    llm_share: float | None
    elapsed_ms: dict[str, float]
    llm_calls: int
    retries: int
    cache_hits: int
    cache_misses: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class RecommendAnswer(_Answer):
    """The answer of GET and POST /recommend; items and diagnostics with `explain=true` alone."""

    user_id: AnyId
    top_items: list[AnyId] = Field(description="item ids, the best first")
    mode: Mode
    arm: Arm
    reason: Reason
    versions: Versions
    user_problem: str | None = None
    items: list[ExplainedItem] | None = None
    diagnostics: DiagnosticsAnswer | None = None


class FactorsVersion(_Answer):
    """The version of the factors in force."""

    factors: str


class SimilarAnswer(_Answer):
    """The answer of GET /similar."""

    item_id: AnyId
    similar_items: list[AnyId] = Field(description="item ids, the closest first")
    versions: FactorsVersion


class HealthAnswer(_Answer):
    """The answer of GET /health."""

    status: str
    versions: FactorsVersion


_VERSION = "20260102-0123456789ab"
EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    RecommendAnswer: {
        "user_id": 123,
        "top_items": [42, 17, 89],
        "mode": "hybrid_rerank",
        "arm": "treatment",
        "reason": "split",
        "versions": {"factors": _VERSION, "flag": "7", "model": "amazon.nova-lite-v1:0", "prompt": "1"},
    },
    SimilarAnswer: {"item_id": 42, "similar_items": [17, 89], "versions": {"factors": _VERSION}},
    HealthAnswer: {"status": "ok", "versions": {"factors": _VERSION}},
}
BODY_EXAMPLES: dict[str, Any] = {
    "known user": {"value": {"user_id": 123, "top_k": 5}},
    "query": {"value": {"user_id": 123, "query": "quiet wireless headset", "filter": "price<50"}},
    "new user with a history": {"value": {"user_id": 987654, "history": [42, 17], "explain": True}},
}


def answered(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The 200 of a route's `responses`: schema and example."""
    content = {"application/json": {"example": EXAMPLES[model]}}
    return {200: {"model": model, "description": model.__doc__, "content": content}}
