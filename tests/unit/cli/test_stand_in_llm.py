"""What the options of the stand-in LLM mean."""

import pytest

from flagrank.cli.stand_in_llm import StandInOptions
from flagrank.local.llm_profiles import LLMProfile, speed_of


def test_by_default_the_model_is_a_real_one_s_speed_and_nobody_waits_for_it() -> None:
    """What a newcomer sees is what production does."""
    options = StandInOptions()
    assert (options.profile, options.path) == (LLMProfile.NOVA_LITE, "async")
    assert options.behaviour()["latency_ms"] == speed_of(LLMProfile.NOVA_LITE).latency_ms


@pytest.mark.parametrize(
    "options",
    [
        StandInOptions(llm_profile=LLMProfile.INSTANT),
        StandInOptions(llm_latency_ms=12),
        StandInOptions(llm_latency_ms=12, llm_ms_per_token=0.06),
        StandInOptions(llm_ms_per_token=0.06),
        StandInOptions(llm_profile=LLMProfile.HAIKU, llm_latency_ms=5),
    ],
)
def test_an_instant_model_or_a_latency_of_one_s_own_is_asked_by_the_request(options: StandInOptions) -> None:
    """A command line that names a latency means what it always meant."""
    assert options.path == "inline"


def test_a_speed_of_one_s_own_replaces_the_profile_s() -> None:
    """What is not given is the instant model's, or that of the profile that is named."""
    assert StandInOptions(llm_latency_ms=20).behaviour() == {
        "latency_ms": 20,
        "ms_per_input_token": 0.06,
        "ms_per_output_token": 0.06,
        "malformed": 0.04,
        "hang": 0.0,
        "throttled": 0.0,
    }
    haiku = StandInOptions(llm_profile=LLMProfile.HAIKU, llm_ms_per_token=1).behaviour()
    assert (haiku["latency_ms"], haiku["ms_per_output_token"]) == (480, 1)


def test_a_rerank_model_is_named_by_the_flag_and_configured() -> None:
    """Its profile is of no chat model, so a chat model is not what the flag may name."""
    options = StandInOptions(llm_profile=LLMProfile.RERANK)
    assert options.flag_fields() == {"path": "async", "model_id": "rerank:cohere.rerank-v3-5:0"}
    assert options.settings() == {"FLAGRANK_RERANK_MODEL_ID": "cohere.rerank-v3-5:0"}


def test_an_instant_model_leaves_the_flag_s_own() -> None:
    """It is no model, and needs no settings."""
    options = StandInOptions(llm_profile=LLMProfile.INSTANT)
    assert (options.flag_fields(), options.settings()) == ({"path": "inline"}, {})
