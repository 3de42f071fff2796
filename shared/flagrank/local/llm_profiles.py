"""How fast real models answer, for the stand-in: dated figures with their sources, in `llm_profiles.json`."""

from enum import StrEnum
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Time = Annotated[float, Field(ge=0)]


class LLMProfile(StrEnum):
    """The profiles by the name that the command line takes."""

    INSTANT = "instant"
    NOVA_MICRO = "nova-micro"
    NOVA_LITE = "nova-lite"
    HAIKU = "haiku"
    RERANK = "rerank"


class Speed(BaseModel):
    """A profile's figures: time to first token, then time for each token that is read and that is written, in ms.

    `dated` is when `source` published them; `source` says which of them are assumed. `model_id` is the flag's,
    None where the profile is of no model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: Time
    ms_per_input_token: Time
    ms_per_output_token: Time
    dated: str
    source: str
    model_id: str | None = None

    def behaviour(self) -> dict[str, Any]:
        """The fields of the stand-in's behaviour that it sets."""
        return self.model_dump(include={"latency_ms", "ms_per_input_token", "ms_per_output_token"})


def speed_of(profile: LLMProfile) -> Speed:
    """The figures of a profile."""
    content = files("flagrank.local").joinpath("llm_profiles.json").read_bytes()
    return TypeAdapter(dict[LLMProfile, Speed]).validate_json(content)[profile]
