"""The HTTP contract: request models, replies, and which error is which status."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Protocol

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints

from flagrank.domain import (
    UNKNOWN_ORIGIN,
    Origin,
    Ranked,
    Recommendation,
    RecommendRequest,
    SimilarItems,
    SimilarRequest,
)
from flagrank.errors import FactorsUnavailable, InvalidRequest, UnknownItem
from flagrank.model import filters
from flagrank.serving.problems import problem
from flagrank.serving.reply import Reply

MAX_TOP_K = 100
MAX_IDS = 500
RETRY_AFTER_S = 5

IdText = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f-\x9f,]{1,128}$")]
# 18 digits always fit in int64, as an id of a set must
ID_BOUND = 10**18


def _whole(value: object) -> object:
    # JSON Schema has 42.0 for an integer
    return int(value) if isinstance(value, float) and value.is_integer() else value


# the bounds come first: OpenAPI shows none of those that follow a validator
IdNumber = Annotated[int, Field(strict=True, gt=-ID_BOUND, lt=ID_BOUND), BeforeValidator(_whole)]
Id = IdNumber | IdText
QueryText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]
Category = Annotated[str, StringConstraints(min_length=1, max_length=128)]
FilterText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=filters.MAX_LENGTH),
    Field(
        description="comparisons of item attributes that must all hold, such as price<50,brand=Auralis|Borea,stock>0; "
        "the operators are = != < <= > >=, and | separates the values of = and !="
    ),
]
IdList = Annotated[str, Field(pattern=r"^[^\s]*$", description="item ids, comma-separated")]
TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K)]

logger = logging.getLogger(__name__)


class RecommendService(Protocol):
    """What the API serves."""

    def recommend(self, request: RecommendRequest, origin: Origin) -> Recommendation:
        """The answer; raises InvalidRequest or FactorsUnavailable."""

    def similar(self, request: SimilarRequest, origin: Origin) -> SimilarItems:
        """Items like one; raises InvalidRequest, UnknownItem or FactorsUnavailable."""

    def factors_version(self) -> str:
        """The version in force; raises FactorsUnavailable."""


class RecommendBody(BaseModel):
    """The body of POST /recommend; `history` and `exclude` are item ids, the history oldest first."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id
    top_k: Annotated[int, Field(strict=True, ge=1, le=MAX_TOP_K), BeforeValidator(_whole)] = 10
    query: QueryText | None = None
    history: Annotated[tuple[Id, ...], Field(max_length=MAX_IDS)] = ()
    exclude: Annotated[tuple[Id, ...], Field(max_length=MAX_IDS)] = ()
    category: Category | None = None
    filter: FilterText | None = None
    explain: StrictBool = False

    def to_request(self) -> RecommendRequest:
        """The request as the pipeline takes it."""
        return RecommendRequest(**{name: getattr(self, name) for name in type(self).model_fields})


class RecommendParams(BaseModel):
    """The query string of GET /recommend: the same, as text. Unknown parameters are ignored, as is usual in a URL."""

    user_id: IdText
    top_k: TopK = 10
    query: QueryText | None = None
    exclude: IdList = ""
    category: Category | None = None
    filter: FilterText | None = None
    explain: bool = False

    def to_request(self) -> RecommendRequest:
        """The request as the pipeline takes it; raises InvalidRequest for too many ids."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return RecommendRequest(**{**values, "exclude": _split_ids("exclude", self.exclude)})


class SimilarParams(BaseModel):
    """The query string of GET /similar."""

    item_id: IdText
    top_k: TopK = 10
    exclude: IdList = ""
    category: Category | None = None
    filter: FilterText | None = None

    def to_request(self) -> SimilarRequest:
        """The request as the service takes it; raises InvalidRequest for too many ids."""
        exclude = _split_ids("exclude", self.exclude)
        return SimilarRequest(self.item_id, self.top_k, exclude, self.category, self.filter)


def _split_ids(field: str, text: str) -> tuple[str, ...]:
    item_ids = tuple(item_id for item_id in text.split(",") if item_id)
    if len(item_ids) > MAX_IDS:
        raise InvalidRequest(field, f"at most {MAX_IDS} ids")
    return item_ids


def recommended(
    service: RecommendService, asked: RecommendBody | RecommendParams, origin: Origin = UNKNOWN_ORIGIN
) -> Reply:
    """The reply to GET and POST /recommend."""

    def answer() -> dict[str, Any]:
        return answer_document(service.recommend(asked.to_request(), origin), explain=asked.explain)

    return _replied(answer, "baseline", "baseline_failed")


def similar(service: RecommendService, asked: SimilarParams, origin: Origin = UNKNOWN_ORIGIN) -> Reply:
    """The reply to GET /similar."""
    return _replied(lambda: similar_document(service.similar(asked.to_request(), origin)), "search", "similar_failed")


def health(service: RecommendService) -> Reply:
    """The reply to GET /health."""

    def answer() -> dict[str, Any]:
        return {"status": "ok", "versions": {"factors": service.factors_version()}}

    return _replied(answer, "health check", "health_failed")


def _replied(answer: Callable[[], dict[str, Any]], part: str, reason: str) -> Reply:
    try:
        return Reply(200, orjson.dumps(answer()), "application/json")
    except InvalidRequest as error:
        return unprocessable([(error.field, error.problem)])
    except UnknownItem as error:
        return problem(404, "Unknown item", str(error), reason="unknown_item")
    except FactorsUnavailable as error:
        unavailable = problem(503, "No factors to serve from", str(error), reason="factors_unavailable")
        return replace(unavailable, headers={"retry-after": str(RETRY_AFTER_S)})
    except Exception:
        logger.exception("the %s failed", part)
        return problem(500, "Internal error", f"The {part} failed; the log says why.", reason=reason)


def answer_document(answer: Recommendation, *, explain: bool) -> dict[str, Any]:
    """The response body; `explain` adds the items' scores and what the request cost."""
    versions = answer.versions
    document: dict[str, Any] = {
        "user_id": answer.user_id,
        "top_items": [entry.candidate.item_id for entry in answer.items],
        "mode": answer.mode,
        "arm": answer.arm,
        "reason": answer.reason,
        "versions": {
            "factors": versions.factors,
            "flag": versions.flag,
            "model": versions.model,
            "prompt": versions.prompt,
        },
    }
    if answer.diagnostics.user_problem is not None:
        document["user_problem"] = answer.diagnostics.user_problem
    if explain:
        document["items"] = [_explained(entry) for entry in answer.items]
        document["diagnostics"] = _diagnosed(answer)
    return document


def similar_document(answer: SimilarItems) -> dict[str, Any]:
    """The response body of GET /similar."""
    return {
        "item_id": answer.item_id,
        "similar_items": [entry.candidate.item_id for entry in answer.items],
        "versions": {"factors": answer.factors_version},
    }


def _explained(entry: Ranked) -> dict[str, Any]:
    candidate = entry.candidate
    return {
        "item_id": candidate.item_id,
        "title": candidate.title,
        "category": candidate.category,
        "attributes": dict(candidate.attributes),
        "new": candidate.is_new,
        "sources": candidate.sources,
        "baseline_rank": candidate.rank + 1,
        "baseline_score": candidate.score,
        "llm_score": entry.llm_score,
        "student_score": entry.student_score,
        "final_score": entry.final_score,
    }


def _diagnosed(answer: Recommendation) -> dict[str, Any]:
    diagnostics, tally, usage = answer.diagnostics, answer.diagnostics.tally, answer.diagnostics.tally.usage
    return {
        "user": diagnostics.user,
        "intent": diagnostics.intent,
        "ignored_ids": diagnostics.ignored_ids,
        "unknown_category": diagnostics.unknown_category,
        "flag_stale": diagnostics.flag_stale,
        "shadow": diagnostics.shadow,
        "query": diagnostics.query,
        "llm_share": diagnostics.llm_share,
        "elapsed_ms": {step: round(elapsed, 3) for step, elapsed in diagnostics.elapsed_ms.items()},
        "llm_calls": usage.llm_calls,
        "retries": usage.retries,
        "cache_hits": tally.cache_hits,
        "cache_misses": tally.cache_misses,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": usage.cost_micro_usd / 1e6,
    }


def unprocessable(problems: list[tuple[str, str]]) -> Reply:
    """A 422 that names each field and what is wrong with it."""
    errors = [{"field": field, "problem": problem} for field, problem in problems]
    detail = "; ".join(f"{field}: {problem}" for field, problem in problems)
    return problem(422, "Invalid request", detail, errors=errors)
