"""The options of `flagrank local` that say how the stand-in LLM behaves, and so which path the first flag takes."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from flagrank.local.llm_profiles import LLMProfile, speed_of
from flagrank.rerank.providers import name_of


@dataclass(frozen=True, slots=True)
class StandInOptions:
    """The stand-in's speed and faults; each field is an option."""

    llm_profile: Annotated[
        LLMProfile | None, typer.Option(help="The stand-in LLM: as fast as this model.", show_default="nova-lite")
    ] = None
    llm_latency_ms: Annotated[
        float | None, typer.Option(min=0, help="The stand-in LLM: latency of a call, ms.", show_default="the profile's")
    ] = None
    llm_ms_per_token: Annotated[
        float | None,
        typer.Option(min=0, help="The stand-in LLM: time for each token, ms.", show_default="the profile's"),
    ] = None
    llm_malformed: Annotated[
        float, typer.Option(min=0, max=1, help="The stand-in LLM: share of malformed answers.")
    ] = 0.04
    llm_hang: Annotated[
        float, typer.Option(min=0, max=1, help="The stand-in LLM: share of calls that never answer.")
    ] = 0.0
    llm_throttle: Annotated[float, typer.Option(min=0, max=1, help="The stand-in LLM: share of throttled calls.")] = 0.0

    @property
    def profile(self) -> LLMProfile:
        """The profile that was asked for; a latency of one's own is measured against an instant model."""
        has_own_speed = self.llm_latency_ms is not None or self.llm_ms_per_token is not None
        return self.llm_profile or (LLMProfile.INSTANT if has_own_speed else LLMProfile.NOVA_LITE)

    @property
    def path(self) -> Literal["inline", "async"]:
        """Who judges under the first flag: the request where the model is instant, and the worker where it is real."""
        return "inline" if self.profile is LLMProfile.INSTANT or self.llm_latency_ms is not None else "async"

    def flag_fields(self) -> dict[str, Any]:
        """What the first flag says of it: the path, and the model where the profile is of one."""
        model_id = speed_of(self.profile).model_id
        return {"path": self.path, **({"model_id": model_id} if model_id else {})}

    def settings(self) -> dict[str, str]:
        """The function's settings that it needs: a rerank model is asked only where one is configured."""
        if self.profile is not LLMProfile.RERANK:
            return {}
        return {"FLAGRANK_RERANK_MODEL_ID": name_of(speed_of(self.profile).model_id or "")}

    def behaviour(self) -> dict[str, Any]:
        """The stand-in's behaviour."""
        own = {
            "latency_ms": self.llm_latency_ms,
            "ms_per_input_token": self.llm_ms_per_token,
            "ms_per_output_token": self.llm_ms_per_token,
        }
        faults = {"malformed": self.llm_malformed, "hang": self.llm_hang, "throttled": self.llm_throttle}
        given = {name: value for name, value in own.items() if value is not None}
        return {**speed_of(self.profile).behaviour(), **given, **faults}
