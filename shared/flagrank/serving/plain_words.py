"""What is wrong with a field, in words for whoever sent it."""

from collections.abc import Mapping
from typing import Any

ID = (
    "expected an id: an integer of up to 18 digits, or 1 to 128 characters without spaces, commas or control characters"
)
IDS = "expected item ids with commas between them, and no spaces"
WORDS: Mapping[str, str] = {"user_id": ID, "item_id": ID, "history": f"{ID}, in a list", "exclude": f"{ID}, in a list"}


def plain_words(field: str, problem: Mapping[str, Any]) -> str:
    """The problem of a field as pydantic found it, without its regular expressions."""
    kind = problem["type"]
    if kind == "missing":
        return str(problem["msg"])
    if field == "exclude" and kind == "string_pattern_mismatch":
        return IDS
    # a list that is none or is too long has its own words
    is_id = field in ("user_id", "item_id") or len(problem["loc"]) > 2
    return WORDS[field] if field in WORDS and is_id else str(problem["msg"])


def is_json(media_type: str) -> bool:
    """Whether a body of this type is read as JSON."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence == "application/json" or (essence.startswith("application/") and essence.endswith("+json"))
