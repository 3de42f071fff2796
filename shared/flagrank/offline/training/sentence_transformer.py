"""Any sentence-transformers model, by path or hub name: an opt-in extra, since it brings torch."""

from collections.abc import Sequence

import numpy as np

from flagrank.errors import EmbeddingUnavailable
from flagrank.model.arrays import Floats


class SentenceTransformerEmbedder:
    """A model of the sentence-transformers library; raises EmbeddingUnavailable where it cannot be loaded."""

    def __init__(self, model: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise EmbeddingUnavailable(
                f"{model!r} is read by sentence-transformers, which is not installed:"
                " `uv sync --extra sentence-transformers` (torch's usual build is several GB)"
            ) from error
        try:
            self._model = SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise EmbeddingUnavailable(f"{model!r} cannot be loaded: {error}") from error
        # even an empty text has an embedding, of the dimension that all have
        self._dimensions = self._model.encode([""]).shape[1]
        self.name = f"sentence-transformers:{model}/{self._dimensions}"

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit rows (n, d) float32; a text without words gives zeros."""
        rows = np.zeros((len(texts), self._dimensions), np.float32)
        worded = [place for place, text in enumerate(texts) if text.strip()]
        if worded:
            found = self._model.encode([texts[place] for place in worded], normalize_embeddings=True)
            rows[worded] = np.asarray(found, np.float32)
        return rows
