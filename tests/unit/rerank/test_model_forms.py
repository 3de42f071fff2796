"""Which family holds its answers to a schema, and how."""

import pytest

from flagrank.rerank.model_forms import STEPS_DOWN, family_of, step_down


@pytest.mark.parametrize(
    ("model_id", "constraint"),
    [
        ("amazon.nova-lite-v1:0", "tool_use"),
        ("eu.amazon.nova-micro-v1:0", "tool_use"),
        ("us.amazon.nova-2-lite-v1:0", "plain"),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "json_schema"),
        ("global.anthropic.claude-sonnet-4-6", "json_schema"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "tool_use"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-5-v1:0", "json_schema"),
        ("openai.gpt-oss-20b-1:0", "json_schema"),
        ("a-model-of-tomorrow", "tool_use"),
    ],
)
def test_a_model_is_held_as_its_family_can(model_id: str, constraint: str) -> None:
    """By its id, whatever geography or ARN stands before it."""
    assert family_of(model_id).constraint == constraint


def test_every_refusal_asks_for_less_until_nothing_is_left() -> None:
    """Plain JSON by instruction is the last step."""
    assert [step_down(constraint) for constraint in STEPS_DOWN] == ["tool_use", "plain", None]
