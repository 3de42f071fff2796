"""The strict parse of an answer and the salvage ladder under it."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flagrank.errors import CutOffAnswer, LowCoverage, MalformedAnswer
from flagrank.ports import Completion
from flagrank.rerank.answers import COMPACT, REFUSED, AnswerForm

MIN_COVERAGE = 0.5
MAX_VALUES_TRIED = 8
# Nova 2 Lite was seen to write a forced tool call as XML, which Bedrock calls malformed: the JSON inside may be whole
COMPLETE = frozenset({"end_turn", "stop_sequence", "tool_use", "malformed_tool_use"})


class Entry(BaseModel):
    """One judged item: its index in the prompt, its relevance 0..100, and whether it may be shown."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    i: Annotated[int, Field(ge=0)]
    relevance: Annotated[int, Field(ge=0, le=100)]
    allowed: bool


def parse_answer(completion: Completion, size: int, form: AnswerForm) -> dict[int, int]:
    """Relevance 0..100 by prompt index, for as many of the `size` items as can be trusted; 0 where refused.

    The ladder: the whole text as JSON, else the first JSON object in it with the form's member, else the first array of
    the form's entries; of those the valid entries only. An index that is judged twice is not judged. An array of
    scores counts only with exactly `size` numbers, since nothing else says which item each is for. Raises CutOffAnswer
    for any stop but a complete answer, MalformedAnswer where nothing is found, LowCoverage where less than half of the
    items are left.
    """
    if completion.stop_reason not in COMPLETE:
        raise CutOffAnswer(f"the answer stopped for {completion.stop_reason}")
    raw = next(_judgements(completion.text, form), None)
    if raw is None:
        raise MalformedAnswer(f"no JSON with {form.member}")
    relevance = _scores(raw, size) if form is COMPACT else _entries(raw, size)
    if len(relevance) < MIN_COVERAGE * size:
        raise LowCoverage(f"{len(relevance)} of {size} items judged")
    return relevance


def _scores(raw: list[Any], size: int) -> dict[int, int]:
    if len(raw) != size:
        raise MalformedAnswer(f"{len(raw)} scores for {size} items")
    valid = {index: score for index, score in enumerate(raw) if type(score) is int and REFUSED <= score <= 100}
    return {index: max(score, 0) for index, score in valid.items()}


def _entries(raw: list[Any], size: int) -> dict[int, int]:
    entries = [entry for entry in map(_entry, raw) if entry is not None and entry.i < size]
    times = Counter(entry.i for entry in entries)
    return {entry.i: entry.relevance if entry.allowed else 0 for entry in entries if times[entry.i] == 1}


def _entry(raw: object) -> Entry | None:
    try:
        return Entry.model_validate(raw)
    except ValidationError:
        return None


def _judgements(text: str, form: AnswerForm) -> Iterator[list[Any]]:
    objects = (found.get(form.member) for found in _values(text, "{") if isinstance(found, dict))
    yield from (judged for judged in objects if isinstance(judged, list))
    kind = int if form is COMPACT else dict
    arrays = (found for found in _values(text, "[") if isinstance(found, list))
    yield from (found for found in arrays if found and all(type(entry) is kind for entry in found))


def _values(text: str, opening: str) -> Iterator[Any]:
    """The JSON values in a text that begin with this character, the outermost of each."""
    decoder = json.JSONDecoder()
    start = text.find(opening)
    for _ in range(MAX_VALUES_TRIED):
        if start < 0:
            return
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield found
        start = text.find(opening, end)
