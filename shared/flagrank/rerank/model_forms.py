"""How each family of models can be held to a schema: a dated table, since it belongs to the model and not to a deploy.

Sources, read 2026-11-26: AWS's page on structured output names Claude 4.5 and later and open-weight models
(https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html); langchain-ai/langchain-aws#883. Reports
on Nova contradict each other (graniet/llm#126, vercel/ai#16926), and Claude Haiku 4.5 was seen to refuse the field in
one region (vectorize-io/hindsight#3300). So the table is where a model begins, and a refusal steps down from there.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

type Constraint = Literal["json_schema", "tool_use", "plain"]

# what is tried after a refusal: less is asked of the service each time
STEPS_DOWN: tuple[Constraint, ...] = ("json_schema", "tool_use", "plain")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Family:
    """Models whose ids match `pattern`. `cache_from_tokens` is the shortest prompt that they cache, None if none is."""

    pattern: re.Pattern[str]
    constraint: Constraint
    cache_from_tokens: int | None = None


def _family(pattern: str, constraint: Constraint, cache_from_tokens: int | None = None) -> Family:
    return Family(re.compile(pattern), constraint, cache_from_tokens)


FAMILIES = (
    _family(r"anthropic\.claude-[a-z]+-(4-[5-9]|[5-9])", "json_schema", 4096),
    _family(r"(qwen|deepseek|mistral|google\.gemma|nvidia|minimax|moonshot|openai\.gpt-oss)", "json_schema"),
    _family(r"amazon\.nova-2", "plain", 1024),
    _family(r"amazon\.nova", "tool_use", 1024),
    _family(r"", "tool_use"),
)

# an inference profile puts a geography before the model's id
_GEOGRAPHY = re.compile(r"^(?:[a-z]{2,6}\.)(?=[a-z0-9]+\.)")


def family_of(model_id: str) -> Family:
    """The family of a model id, an inference profile's id or an ARN that ends with one."""
    name = _GEOGRAPHY.sub("", model_id.rpartition("/")[2])
    return next(family for family in FAMILIES if family.pattern.match(name))


class StepsDown[C: str]:
    """How each model is held to the schema in this environment: a refusal steps down, and what was taken is remembered.

    `steps` are the ways that a service knows, the strictest first.
    """

    def __init__(self, steps: Sequence[C]) -> None:
        self._steps = tuple(steps)
        self._taken: dict[str, C] = {}

    def ask[T](self, model_id: str, first: C, send: Callable[[C], T], refusal: type[Exception]) -> T:
        """What `send` returns for the first way that is not refused, beginning with `first` or what was remembered.

        Raises the last refusal where even the last way is refused: the request is invalid for another reason, and
        nothing is remembered.
        """
        begin = self._taken.get(model_id, first)
        for way in self._steps[self._steps.index(begin) :]:
            try:
                answer = send(way)
            except refusal:
                if way == self._steps[-1]:
                    raise
                continue
            if way != begin:
                self._taken[model_id] = way
                logger.warning("%s refuses %s; asking it by %s from now on", model_id, begin, way)
            return answer
        raise AssertionError("the last way returns or raises")
