"""Which provider a flag's `model_id` names: the word before the first colon, and Bedrock's chat models without one.

An id of Bedrock's own may hold colons as well (`amazon.nova-lite-v1:0`, an ARN); none begins with a word of these.
"""

from typing import Literal

type Provider = Literal["bedrock", "openai", "rerank"]

BEDROCK: Provider = "bedrock"
OPENAI: Provider = "openai"
RERANK: Provider = "rerank"
BY_PREFIX: dict[str, Provider] = {"openai": OPENAI, "rerank": RERANK}


def provider_of(model_id: str) -> Provider:
    """The provider that is asked for this model."""
    prefix, colon, _ = model_id.partition(":")
    return BY_PREFIX.get(prefix, BEDROCK) if colon else BEDROCK


def name_of(model_id: str) -> str:
    """The model's name as its provider knows it: the id without its prefix."""
    return model_id if provider_of(model_id) == BEDROCK else model_id.partition(":")[2]
