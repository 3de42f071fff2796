"""The strict parse of an answer and the salvage ladder under it."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flagrank.errors import CutOffAnswer, LowCoverage, MalformedAnswer
from flagrank.ports import Completion

MIN_COVERAGE = 0.5
MAX_OBJECTS_TRIED = 8
COMPLETE = frozenset({"end_turn", "stop_sequence", "tool_use"})


class Entry(BaseModel):
    """One judged item: its index in the prompt, its relevance 0..100, and whether it may be shown."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    i: Annotated[int, Field(ge=0)]
    relevance: Annotated[int, Field(ge=0, le=100)]
    allowed: bool


def parse_answer(completion: Completion, size: int) -> dict[int, int]:
    """Relevance 0..100 by prompt index, for as many of the `size` items as can be trusted; 0 where not allowed.

    The ladder: the whole text as JSON, else its first JSON object with "items", and of those the valid entries only;
    an index that is judged twice is judged not at all. Raises CutOffAnswer for any stop but a complete answer,
    MalformedAnswer where no object is found, LowCoverage where less than half of the items are left.
    """
    if completion.stop_reason not in COMPLETE:
        raise CutOffAnswer(f"the answer stopped for {completion.stop_reason}")
    raw = next((found["items"] for found in _objects(completion.text) if isinstance(found.get("items"), list)), None)
    if raw is None:
        raise MalformedAnswer("no JSON object with items")
    entries = [entry for entry in map(_entry, raw) if entry is not None and entry.i < size]
    times = Counter(entry.i for entry in entries)
    relevance = {entry.i: entry.relevance if entry.allowed else 0 for entry in entries if times[entry.i] == 1}
    if len(relevance) < MIN_COVERAGE * size:
        raise LowCoverage(f"{len(relevance)} of {size} items judged")
    return relevance


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(MAX_OBJECTS_TRIED):
        if start < 0:
            return
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield found
        start = text.find("{", end)


def _entry(raw: object) -> Entry | None:
    try:
        return Entry.model_validate(raw)
    except ValidationError:
        return None
