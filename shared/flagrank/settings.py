"""Everything the environment decides, read once by `bootstrap` and never at import."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from flagrank.errors import ConfigurationError
from flagrank.flags.document import FLAG_POLL_S
from flagrank.ranking.rules import RuleSet
from flagrank.rerank.pricing import ANY_MODEL, Price
from flagrank.rerank.providers import RERANK, provider_of

PREFIX = "FLAGRANK_"


def base_url(text: str) -> str:
    """A base URL as OpenAI's clients take it; one without a path gets theirs, `/v1`. Raises ValueError, without it."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("needs a URL such as https://host/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("takes a URL without user, query and fragment; a key has a setting of its own")
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


BaseUrl = Annotated[str, AfterValidator(base_url)]


class JudgingSettings(BaseModel):
    """What everybody needs who asks an LLM: each field is `FLAGRANK_` and its name in capitals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Annotated[str, Field(min_length=3)]
    appconfig_application: Annotated[str, Field(min_length=1)]
    appconfig_environment: Annotated[str, Field(min_length=1)]
    appconfig_profile: Annotated[str, Field(min_length=1)]
    flag_poll_s: Annotated[int, Field(ge=FLAG_POLL_S, le=86_400)] = FLAG_POLL_S
    flag_max_age_s: Annotated[int, Field(ge=60)] = 3600
    cache_ttl_s: Annotated[int, Field(ge=60)] = 24 * 3600
    keep_judgements_days: Annotated[int, Field(ge=0, le=3650)] = 0
    batch_items: Annotated[int, Field(ge=1, le=50)] = 10
    parallel_calls: Annotated[int, Field(ge=1, le=32)] = 10
    structured_output: Literal["auto", "json_schema", "tool_use", "plain"] = "auto"
    latency: Literal["standard", "optimized"] = "standard"
    service_tier: Literal["default", "priority", "flex"] = "default"
    openai_url: BaseUrl | None = None
    openai_key: SecretStr = SecretStr("")
    openai_key_secret: str = ""
    openai_structured_output: Literal["sized_schema", "json_schema", "json_object", "plain"] = "json_schema"
    rerank_model_id: str = ""
    rerank_url: BaseUrl | None = None
    rerank_key: SecretStr = SecretStr("")
    rerank_key_secret: str = ""
    rerank_scores: Literal["probability", "logit"] = "probability"
    prices: Json[dict[str, Price]] = Field(
        default={"*": Price(input_usd=0.06, output_usd=0.24), "rerank:*": Price(thousand_queries_usd=2.0)},
        validate_default=False,
    )

    @field_validator("prices")
    @classmethod
    def _any_model_has_a_price(cls, prices: dict[str, Price]) -> dict[str, Price]:
        if ANY_MODEL not in prices:
            raise ValueError(f"needs a price under {ANY_MODEL!r}, for models that are not named")
        return prices

    @model_validator(mode="after")
    def _one_rerank_service_with_a_price(self) -> Self:
        if self.rerank_model_id and self.rerank_url:
            raise ValueError("FLAGRANK_RERANK_MODEL_ID and FLAGRANK_RERANK_URL are both set; choose one")
        has_price = any(provider_of(model_id) == RERANK for model_id in self.prices)
        if (self.rerank_model_id or self.rerank_url) and not has_price:
            raise ValueError("FLAGRANK_PRICES needs a price under 'rerank:*': a rerank model charges by the query")
        return self

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """The settings in a process's variables; raises ConfigurationError naming the variable."""
        values = {
            key.removeprefix(PREFIX).lower(): value
            for key, value in environment.items()
            if key.startswith(PREFIX) and value
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            variable = "".join(PREFIX + str(part).upper() + ": " for part in first["loc"][:1])
            # the cause would show what was given, and a key may be in it
            raise ConfigurationError(variable + first["msg"].removeprefix("Value error, ")) from None


class Settings(JudgingSettings):
    """The settings of an environment that answers requests."""

    bucket: Annotated[str, Field(min_length=3)]
    queue_url: Annotated[str, Field(min_length=1)]
    factors_poll_s: Annotated[int, Field(ge=1)] = 60
    users_in_memory_mb: Annotated[int, Field(ge=0)] = 8
    rules: Json[RuleSet] = Field(default=RuleSet(), validate_default=False)


class PublicationSettings(Settings):
    """The settings of what queues tasks after a publication: for how many of the most active users."""

    active_users: Annotated[int, Field(ge=0)]


class WorkerSettings(JudgingSettings):
    """The settings of the queue's worker: how many tasks it judges at once, and how old one may be."""

    parallel_tasks: Annotated[int, Field(ge=1, le=10)] = 5
    task_max_age_s: Annotated[int, Field(ge=60)] = 3600
