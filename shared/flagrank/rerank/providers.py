"""Which provider a flag's `model_id` names: the word before the first colon, and Bedrock's chat models without one.

An id of Bedrock's own may hold colons as well (`amazon.nova-lite-v1:0`, an ARN), but none begins with a plain word and
a colon. So a provider that nobody has wired, or whose name is misspelt, is refused by name, and not asked of Bedrock.
"""

import re

BEDROCK = "bedrock"
OPENAI = "openai"
RERANK = "rerank"

_PREFIX = re.compile(r"(?!arn:)([a-z]+):")


def provider_of(model_id: str) -> str:
    """The provider that is asked for this model."""
    prefix = _PREFIX.match(model_id)
    return prefix[1] if prefix else BEDROCK


def name_of(model_id: str) -> str:
    """The model's name as its provider knows it: the id without its prefix."""
    prefix = _PREFIX.match(model_id)
    return model_id[prefix.end() :] if prefix else model_id
