"""Rerank models over Bedrock's Rerank API.

See https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_Rerank.html.
"""

from collections.abc import Callable, Sequence
from typing import Any

from flagrank.adapters.aws_clients import ClientsByTimeout
from flagrank.adapters.bedrock_errors import translated
from flagrank.rerank.providers import name_of


class BedrockRerank:
    """Rerank calls. `client_for` makes a client for a timeout in ms. Scores are probabilities."""

    def __init__(self, client_for: Callable[[int], Any]) -> None:
        self._clients = ClientsByTimeout(client_for)

    def rerank(
        self, query: str, texts: Sequence[str], *, model_id: str, timeout_ms: int
    ) -> Sequence[tuple[int, float]]:
        """See RerankClient."""
        client = self._clients.of(timeout_ms)
        with translated():
            arn = _arn(name_of(model_id), client.meta.partition, client.meta.region_name)
            answer = client.rerank(**request(query, texts, arn))
            return [(found["index"], found["relevanceScore"]) for found in answer["results"]]


def request(query: str, texts: Sequence[str], model_arn: str) -> dict[str, Any]:
    """The Rerank parameters; every text is scored."""
    return {
        "queries": [{"type": "TEXT", "textQuery": {"text": query}}],
        "sources": [
            {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}
            for text in texts
        ],
        "rerankingConfiguration": {
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {
                "modelConfiguration": {"modelArn": model_arn},
                "numberOfResults": len(texts),
            },
        },
    }


def _arn(name: str, partition: str, region: str) -> str:
    return name if name.startswith("arn:") else f"arn:{partition}:bedrock:{region}::foundation-model/{name}"
