"""Which family holds its answers to a schema, and how."""

import pytest

from flagrank.rerank.model_forms import STEPS_DOWN, StepsDown, family_of


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


class Refused(Exception):
    """What the service answers to a way that it does not know."""


class Service:
    """A service that knows some ways, and remembers which it was asked for."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.asked: list[str] = []

    def send(self, way: str) -> str:
        self.asked.append(way)
        if way not in self.known:
            raise Refused
        return f"by {way}"


def test_every_refusal_asks_for_less_until_something_is_taken() -> None:
    """Plain JSON by instruction is the last step, and is asked for at once from then on."""
    service, steps = Service("plain"), StepsDown(STEPS_DOWN)
    answers = [steps.ask("m", "json_schema", service.send, Refused) for _ in range(2)]
    assert answers == ["by plain"] * 2
    assert service.asked == ["json_schema", "tool_use", "plain", "plain"]


def test_a_request_that_nothing_helps_leaves_no_memory() -> None:
    """It is invalid for another reason, and the next one begins where this one did."""
    service, steps = Service(), StepsDown(STEPS_DOWN)
    with pytest.raises(Refused):
        steps.ask("m", "tool_use", service.send, Refused)
    service.known = STEPS_DOWN
    assert steps.ask("m", "tool_use", service.send, Refused) == "by tool_use"
    assert service.asked == ["tool_use", "plain", "tool_use"]


def test_what_one_model_refuses_another_may_take() -> None:
    """The memory is a model's own."""
    service, steps = Service("tool_use"), StepsDown(STEPS_DOWN)
    steps.ask("m", "json_schema", service.send, Refused)
    steps.ask("n", "json_schema", service.send, Refused)
    assert service.asked == ["json_schema", "tool_use"] * 2
