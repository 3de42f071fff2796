"""The embeddings of a catalogue's texts, reduced to what the artifacts carry."""

import numpy as np

from flagrank.domain import ItemId
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.training.als import Embeddings
from flagrank.offline.training.progress import Progress
from flagrank.ports import Embedder

BATCH = 256
PUBLISHED_DIMENSIONS = 64


def embedder(spec: str) -> Embedder | None:
    """The embedder of a `--embedder` option, None for `none`; raises EmbeddingUnavailable.

    `minilm`, `bedrock:MODEL_ID`, or a path or hub name for sentence-transformers.
    """
    # imported here: each embedder needs libraries that the others do not
    if spec == "none":
        return None
    if spec == "minilm":
        from flagrank.offline.training.minilm import MiniLM

        return MiniLM()
    family, _, model_id = spec.partition(":")
    if family == "bedrock":
        from flagrank.adapters.aws_clients import bedrock_embedding_client
        from flagrank.adapters.bedrock_embedder import BedrockEmbedder

        return BedrockEmbedder(bedrock_embedding_client(), model_id)
    from flagrank.offline.training.sentence_transformer import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(spec)


def embed_items(dataset: Dataset, spec: str, progress: Progress) -> Embeddings | None:
    """Unit rows (e,) by item id for everything the dataset names, zeros where an item has no text.

    None without an embedder, or where no item has a text. Reduced to PUBLISHED_DIMENSIONS principal components,
    uncentred so that cosines survive as well as they can.
    """
    model = embedder(spec)
    if model is None:
        return None
    item_ids: list[ItemId] = sorted(dataset.items.keys() | set(dataset.interactions.items.tolist()))
    worded = [item_id for item_id in item_ids if _has_text(dataset, item_id)]
    if not worded:
        return None
    texts = [_prose(dataset, item_id) for item_id in worded]
    parts = []
    for start in range(0, len(texts), BATCH):
        parts.append(model.embed(texts[start : start + BATCH]))
        progress("embedding texts", min(start + BATCH, len(texts)), len(texts))
    rows = np.concatenate(parts)
    if rows.shape[1] > PUBLISHED_DIMENSIONS:
        _, directions = np.linalg.eigh(rows.T @ rows)
        rows = rows @ directions[:, -PUBLISHED_DIMENSIONS:]
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    nothing = np.zeros(rows.shape[1], rows.dtype)
    return dict.fromkeys(item_ids, nothing) | dict(zip(worded, rows, strict=True))


def _has_text(dataset: Dataset, item_id: ItemId) -> bool:
    item = dataset.items.get(item_id)
    return item is not None and bool(item.title.strip() or item.description.strip())


def _prose(dataset: Dataset, item_id: ItemId) -> str:
    # the raw text, not the rewritten one: these models were trained on sentences
    item = dataset.item(item_id)
    return f"{item.title}. {item.category}. {item.description}"
