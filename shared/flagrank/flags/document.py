"""The flag document: the one JSON document that operators change."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from flagrank.errors import ConfigurationError

# AppConfig's shortest poll interval, and so the longest that a change takes to reach an environment that is asked
FLAG_POLL_S = 15

# a cap that no day can reach is no cap: an infinite one, or 1e400, which JSON reads as infinite
MAX_DAILY_USD_CAP = 1_000_000


def _as_text(value: object) -> object:
    # ids may be trained as integers; the bucket hashes their text, so lists hold text too
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ListedUsers = Annotated[
    tuple[Annotated[str, BeforeValidator(_as_text, json_schema_input_type=int | str)], ...], Field(max_length=1000)
]


class FlagDocument(BaseModel):
    """The one JSON document that operators change. The same model checks it in CI, in AppConfig and when read.

    `alpha` is the baseline's weight: 1 leaves the baseline as it is. Requests with a query take `alpha_query` where it
    is given. `promotion_cap` is the number of places that an item may rise by the judge's word alone. Budgets in ms,
    `max_input_tokens` per request, `daily_usd_cap` in USD per UTC day over all environments.
    `path` says who judges what the cache does not hold: the request itself, a worker behind it, or the worker what the
    request did not manage. `model_id` begins with `openai:` or `rerank:` for models that are not Bedrock's chat models
    (`rerank/providers.py`). `answer` is the form in which a chat model answers (`rerank/answers.py`). With `gate` the
    LLM is asked only where it is likely to help; `rerank_profiles` has a rerank model asked without a query, too
    (`rerank/gate.py`). Without `judge_met_queries` the baseline alone orders the items of a query that some item meets
    whole (`domain.QueryMatch`). With `student` set to fill, an item that the LLM has not judged takes the relevance of
    the set's student (`model/student.py`), if it has one.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, populate_by_name=True, allow_inf_nan=False, title="Flagrank flag"
    )

    schema_version: Literal[1] = Field(1, alias="schema")
    enabled: bool = False
    percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    salt: Annotated[str, Field(min_length=1, max_length=64)] = "rerank-1"
    hash_version: Literal[1] = 1
    allow: ListedUsers = ()
    deny: ListedUsers = ()
    mode: Literal["serve", "shadow"] = "serve"
    model_id: Annotated[str, Field(min_length=1, max_length=256)] = "amazon.nova-lite-v1:0"
    top_m: Annotated[int, Field(ge=20, le=100)] = 60
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    alpha_query: Annotated[float, Field(ge=0, le=1)] | None = None
    promotion_cap: Annotated[int, Field(ge=1, le=100)] | None = None
    path: Literal["inline", "async", "both"] = "inline"
    request_budget_ms: Annotated[int, Field(ge=20, le=25_000)] = 1500
    call_budget_ms: Annotated[int, Field(ge=10, le=20_000)] = 1000
    max_input_tokens: Annotated[int, Field(ge=200, le=200_000)] = 12_000
    daily_usd_cap: Annotated[float, Field(ge=0, le=MAX_DAILY_USD_CAP)] = 20.0
    answer: Literal["verbose", "compact"] = "compact"
    student: Literal["off", "fill"] = "off"
    gate: bool = False
    gate_sparse_below: Annotated[int, Field(ge=0, le=1000)] = 10
    gate_flat_below: Annotated[float, Field(ge=0, le=1)] = 0.0
    rerank_profiles: bool = False
    judge_met_queries: bool = True

    @field_validator("percent")
    @classmethod
    def _two_decimals(cls, value: float) -> float:
        if abs(value * 100 - round(value * 100)) > 1e-9:
            raise ValueError("percent has at most two decimals")
        return value

    @model_validator(mode="after")
    def _call_fits_request(self) -> "FlagDocument":
        if self.call_budget_ms >= self.request_budget_ms:
            raise ValueError("call_budget_ms must be below request_budget_ms")
        return self

    def alpha_for(self, has_query: bool) -> float:
        """The baseline's weight in a request of this kind."""
        return self.alpha_query if has_query and self.alpha_query is not None else self.alpha

    @property
    def threshold(self) -> int:
        """Buckets below this one are treated; `percent` has two decimals, so this is exact."""
        return round(self.percent * 100)


def json_schema() -> dict[str, Any]:
    """The flag document's JSON Schema in draft-04, the only one that AppConfig's own validator takes.

    Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-configuration-and-profile-validators.html
    """
    schema = FlagDocument.model_json_schema(by_alias=True)
    schema.pop("description", None)  # the docstring is for readers of the code
    for field in schema["properties"].values():
        del field["title"]
        if "const" in field:  # draft-04 has no const
            field["enum"] = [field.pop("const")]
    return {"$schema": "http://json-schema.org/draft-04/schema#", **schema}


def read_document(content: bytes, version: str) -> FlagDocument:
    """The document; raises ConfigurationError, with the field, if this release cannot read it."""
    try:
        return FlagDocument.model_validate_json(content)
    except ValidationError as error:
        raise ConfigurationError(f"version {version} is not readable: {problem(error)}") from error


def changed(document: FlagDocument, change: Mapping[str, object]) -> FlagDocument:
    """The document with fields changed; raises ConfigurationError that names a field which would be invalid."""
    try:
        return FlagDocument.model_validate({**document.model_dump(by_alias=True), **change})
    except ValidationError as error:
        raise ConfigurationError(problem(error)) from error


def problem(error: ValidationError) -> str:
    """The first thing that is wrong with a document: its field, a colon, and why."""
    first = error.errors()[0]
    field, why = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{field}: {why}" if field else why
