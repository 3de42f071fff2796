"""Everything the environment decides, read once by `bootstrap` and never at import."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError, field_validator

from flagrank.errors import ConfigurationError
from flagrank.flags.document import FLAG_POLL_S
from flagrank.ranking.rules import RuleSet
from flagrank.rerank.pricing import ANY_MODEL, Price

PREFIX = "FLAGRANK_"


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
    batch_items: Annotated[int, Field(ge=1, le=50)] = 10
    parallel_calls: Annotated[int, Field(ge=1, le=32)] = 10
    structured_output: Literal["auto", "json_schema", "tool_use", "plain"] = "auto"
    latency: Literal["standard", "optimized"] = "standard"
    service_tier: Literal["default", "priority", "flex"] = "default"
    prices: Json[dict[str, Price]] = Field(
        default={"*": Price(input_usd=0.06, output_usd=0.24)}, validate_default=False
    )

    @field_validator("prices")
    @classmethod
    def _any_model_has_a_price(cls, prices: dict[str, Price]) -> dict[str, Price]:
        if ANY_MODEL not in prices:
            raise ValueError(f"needs a price under {ANY_MODEL!r}, for models that are not named")
        return prices

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
            variable = PREFIX + "_".join(str(part) for part in first["loc"][:1]).upper()
            raise ConfigurationError(f"{variable}: {first['msg']}") from error


class Settings(JudgingSettings):
    """The settings of an environment that answers requests."""

    bucket: Annotated[str, Field(min_length=3)]
    queue_url: Annotated[str, Field(min_length=1)]
    factors_poll_s: Annotated[int, Field(ge=1)] = 60
    rules: Json[RuleSet] = Field(default=RuleSet(), validate_default=False)


class PublicationSettings(Settings):
    """The settings of what queues tasks after a publication: for how many of the most active users."""

    active_users: Annotated[int, Field(ge=0)]


class WorkerSettings(JudgingSettings):
    """The settings of the queue's worker: how many tasks it judges at once, and how old one may be."""

    parallel_tasks: Annotated[int, Field(ge=1, le=10)] = 5
    task_max_age_s: Annotated[int, Field(ge=60)] = 3600
