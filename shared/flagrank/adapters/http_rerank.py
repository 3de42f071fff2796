"""Rerank models over the API that Cohere began: llama.cpp, vLLM, LiteLLM, Jina and others.

See https://docs.cohere.com/reference/rerank.
"""

from collections.abc import Sequence

from pydantic import BaseModel

from flagrank.adapters.http_json import JsonService, document_of
from flagrank.rerank.providers import name_of


class _Result(BaseModel):
    index: int
    relevance_score: float


class _Answer(BaseModel):
    results: list[_Result]


class HttpRerank:
    """Rerank calls. Scores are probabilities or log-odds, as the server has them: llama.cpp gives log-odds for some."""

    def __init__(self, service: JsonService) -> None:
        self._service = service

    def rerank(
        self, query: str, texts: Sequence[str], *, model_id: str, timeout_ms: int
    ) -> Sequence[tuple[int, float]]:
        """See RerankClient."""
        body = {"model": name_of(model_id), "query": query, "documents": list(texts), "top_n": len(texts)}
        reply = self._service.post("/rerank", body, timeout_ms / 1000)
        return [(found.index, found.relevance_score) for found in document_of(_Answer, reply).results]
