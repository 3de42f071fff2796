"""Embeddings by Bedrock's `invoke_model`, for Amazon Titan and Cohere: offline work, patient, never in a request.

Bodies as in https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
`model-parameters-embed-v3.html` and `model-parameters-embed-v4.html`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from flagrank.errors import EmbeddingUnavailable
from flagrank.model.arrays import Floats

PARALLEL_CALLS = 8
COHERE_TEXTS = 96
# Cohere v3 refuses longer texts, and the other families would bill for what they cut off
MAX_CHARACTERS = 2048


@dataclass(frozen=True, slots=True)
class Family:
    """How a family of models is asked, and how many numbers a text it gives."""

    texts_per_call: int
    dimensions: int
    body: Callable[[Sequence[str]], dict[str, Any]]
    rows: Callable[[dict[str, Any]], Any]


def _titan_v1(texts: Sequence[str]) -> dict[str, Any]:
    return {"inputText": texts[0]}


def _titan_v2(texts: Sequence[str]) -> dict[str, Any]:
    return {"inputText": texts[0], "dimensions": 256, "normalize": True}


def _cohere_v3(texts: Sequence[str]) -> dict[str, Any]:
    return {"texts": texts, "input_type": "search_document", "truncate": "END"}


def _cohere_v4(texts: Sequence[str]) -> dict[str, Any]:
    asked = {"embedding_types": ["float"], "output_dimension": 256, "truncate": "RIGHT"}
    return {"texts": texts, "input_type": "search_document", **asked}


def _titan_rows(document: dict[str, Any]) -> Any:
    return [document["embedding"]]


def _cohere_rows(document: dict[str, Any]) -> Any:
    # a bare list, or a map by type when types were asked for
    found = document["embeddings"]
    return found["float"] if isinstance(found, dict) else found


FAMILIES: Mapping[str, Family] = {
    "amazon.titan-embed-text-v1": Family(1, 1536, _titan_v1, _titan_rows),
    "amazon.titan-embed-text-v2": Family(1, 256, _titan_v2, _titan_rows),
    "cohere.embed-english-v3": Family(COHERE_TEXTS, 1024, _cohere_v3, _cohere_rows),
    "cohere.embed-multilingual-v3": Family(COHERE_TEXTS, 1024, _cohere_v3, _cohere_rows),
    "cohere.embed-v4": Family(COHERE_TEXTS, 256, _cohere_v4, _cohere_rows),
}


class BedrockEmbedder:
    """One model's embeddings over a `bedrock-runtime` client; raises EmbeddingUnavailable for a family not known."""

    def __init__(self, client: Any, model_id: str) -> None:
        # not `startswith`: an inference profile's id has its region in front, and may be an ARN
        family = next((known for part, known in FAMILIES.items() if part in model_id), None)
        if family is None:
            raise EmbeddingUnavailable(
                f"{model_id!r} is of no embedding family that is known here: {', '.join(FAMILIES)}"
            )
        self.name = f"bedrock:{model_id}/{family.dimensions}"
        self._client = client
        self._model_id = model_id
        self._family = family

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit rows (n, d) float32; an empty text gives zeros and is not sent. Raises EmbeddingUnavailable.

        Texts are read as far as MAX_CHARACTERS.
        """
        rows = np.zeros((len(texts), self._family.dimensions), np.float32)
        sent = [place for place, text in enumerate(texts) if text.strip()]
        size = self._family.texts_per_call
        groups = [sent[start : start + size] for start in range(0, len(sent), size)]
        asked = [[texts[place].strip()[:MAX_CHARACTERS] for place in group] for group in groups]
        with ThreadPoolExecutor(PARALLEL_CALLS, "embed") as executor:
            for group, found in zip(groups, executor.map(self._ask, asked), strict=True):
                rows[group] = found
        return rows

    def _ask(self, texts: Sequence[str]) -> Floats:
        body = json.dumps(self._family.body(texts))
        try:
            answer = self._client.invoke_model(
                modelId=self._model_id, body=body, contentType="application/json", accept="application/json"
            )
            rows: Floats = np.array(self._family.rows(json.loads(answer["body"].read())), np.float32)
        except (BotoCoreError, ClientError) as error:
            raise EmbeddingUnavailable(f"{self._model_id}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise EmbeddingUnavailable(f"{self._model_id} answered in a form that is not known here") from error
        promised = (len(texts), self._family.dimensions)
        if rows.shape != promised:
            raise EmbeddingUnavailable(f"{self._model_id} gave embeddings of shape {rows.shape}, not {promised}")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise EmbeddingUnavailable(f"{self._model_id} gave an embedding that has no direction")
        unit: Floats = rows / lengths
        return unit
