"""The embedding half of the Bedrock stand-in: `invoke_model` for Titan and Cohere, answered from hashed words.

It shares no code with the adapter that asks.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

from flagrank.local.rest_json import ServiceError

COHERE_TEXTS = 96
COHERE_V3_CHARACTERS = 2048
COHERE_V3_DIMENSIONS = 1024
TITAN_V1_DIMENSIONS = 1536


def answer(model_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """The document that the model answers with; raises ServiceError as the service refuses."""
    for family, respond in FAMILIES.items():
        if family in model_id:
            return respond(body)
    raise ServiceError("ValidationException", 400, "The provided model identifier is invalid.")


def hashed_words(text: str, dimensions: int) -> list[float]:
    """The text's lower-case words, each counted in a place that its hash chooses, at unit length."""
    counts = [0.0] * dimensions
    for word in text.lower().split():
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        counts[int.from_bytes(digest) % dimensions] += 1
    length = math.sqrt(sum(count * count for count in counts)) or 1.0
    return [count / length for count in counts]


def _titan_v1(body: dict[str, Any]) -> dict[str, Any]:
    _only(body, {"inputText"})
    return {"embedding": hashed_words(_text(body), TITAN_V1_DIMENSIONS), "inputTextTokenCount": len(_text(body)) // 4}


def _titan_v2(body: dict[str, Any]) -> dict[str, Any]:
    _only(body, {"inputText", "dimensions", "normalize", "embeddingTypes"})
    dimensions = _one_of(body.get("dimensions", 1024), (256, 512, 1024))
    row = hashed_words(_text(body), dimensions)
    return {"embedding": row, "embeddingsByType": {"float": row}, "inputTextTokenCount": len(_text(body)) // 4}


def _cohere_v3(body: dict[str, Any]) -> dict[str, Any]:
    _only(body, {"texts", "input_type", "truncate", "embedding_types"})
    texts = _texts(body)
    if any(len(text) > COHERE_V3_CHARACTERS for text in texts):
        raise _refused(f"expected maxLength: {COHERE_V3_CHARACTERS}")
    _one_of(body.get("truncate", "NONE"), ("NONE", "START", "END"))
    return _cohere(texts, COHERE_V3_DIMENSIONS, typed="embedding_types" in body)


def _cohere_v4(body: dict[str, Any]) -> dict[str, Any]:
    _only(body, {"texts", "input_type", "truncate", "embedding_types", "output_dimension", "max_tokens"})
    dimensions = _one_of(body.get("output_dimension", 1536), (256, 512, 1024, 1536))
    _one_of(body.get("truncate", "NONE"), ("NONE", "LEFT", "RIGHT"))
    return _cohere(_texts(body), dimensions, typed="embedding_types" in body)


def _cohere(texts: list[str], dimensions: int, *, typed: bool) -> dict[str, Any]:
    rows = [hashed_words(text, dimensions) for text in texts]
    kind = "embeddings_by_type" if typed else "embeddings_floats"
    return {"embeddings": {"float": rows} if typed else rows, "id": "0", "response_type": kind, "texts": texts}


def _text(body: dict[str, Any]) -> str:
    text = body.get("inputText")
    if not isinstance(text, str) or not text:
        raise _refused("expected minLength: 1, actual: 0")
    return text


def _texts(body: dict[str, Any]) -> list[str]:
    texts: list[str] = body.get("texts", [])
    if not 1 <= len(texts) <= COHERE_TEXTS:
        raise _refused(f"expected 1 to {COHERE_TEXTS} texts, actual: {len(texts)}")
    _one_of(body.get("input_type"), ("search_document", "search_query", "classification", "clustering"))
    return texts


def _only(body: dict[str, Any], members: set[str]) -> None:
    unknown = body.keys() - members
    if unknown:
        raise _refused(f"extraneous key [{', '.join(sorted(unknown))}] is not permitted")


def _one_of[T](value: T, allowed: tuple[T, ...]) -> T:
    if value not in allowed:
        raise _refused(f"{value!r} is not a valid enum value")
    return value


def _refused(problem: str) -> ServiceError:
    return ServiceError("ValidationException", 400, f"Malformed input request: {problem}, please reformat your input.")


FAMILIES: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "amazon.titan-embed-text-v1": _titan_v1,
    "amazon.titan-embed-text-v2": _titan_v2,
    "cohere.embed-english-v3": _cohere_v3,
    "cohere.embed-multilingual-v3": _cohere_v3,
    "cohere.embed-v4": _cohere_v4,
}
