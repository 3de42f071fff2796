"""The stand-in's speeds, and that it keeps them."""

from dataclasses import replace
from typing import Any

import pytest

from flagrank.local.bedrock import create_app
from flagrank.local.llm_profiles import LLMProfile, speed_of
from tests.local.conftest import Serve
from tests.local.test_bedrock import FLAWLESS, PROMPT, client


@pytest.mark.parametrize("profile", LLMProfile)
def test_every_profile_has_figures_with_a_date_and_a_source(profile: LLMProfile) -> None:
    """Nobody has to guess where a speed comes from."""
    speed = speed_of(profile)
    assert speed.latency_ms > 0
    assert speed.dated.startswith("2026-")
    assert speed.source.startswith("No model") or "https://" in speed.source


def test_a_profile_is_a_behaviour_of_the_stand_in() -> None:
    """Its figures are fields that the stand-in knows."""
    behaviour = replace(FLAWLESS, **speed_of(LLMProfile.NOVA_LITE).behaviour())
    assert (behaviour.latency_ms, behaviour.ms_per_output_token) == (350, 4)


def test_a_call_takes_time_for_what_is_read_and_for_what_is_written(serve: Serve) -> None:
    """The latency that the stand-in reports is the sum of its three parts."""
    speed: dict[str, Any] = {"latency_ms": 2.0, "ms_per_input_token": 0.01, "ms_per_output_token": 1.0}
    url = serve(create_app(replace(FLAWLESS, **speed, noise=0)))
    messages = [{"role": "user", "content": [{"text": PROMPT.user}]}]
    answer = client(url).converse(modelId="m", messages=messages, system=[{"text": PROMPT.system}])
    read, written = answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]
    assert answer["metrics"]["latencyMs"] == round(2 + 0.01 * read + 1.0 * written)
