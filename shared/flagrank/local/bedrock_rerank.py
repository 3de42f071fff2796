"""The rerank half of the Bedrock stand-in: the share of the query's words that a text holds, as a probability.

It shares no code with the adapter that asks.
"""

from typing import Any

from flagrank.local.rest_json import ServiceError

MAX_SOURCES = 1000
# what a rerank model says at most and at least: it is never sure
LEAST, SPAN = 0.0003, 0.97


def scores(body: dict[str, Any]) -> dict[str, Any]:
    """The document that the service answers with, the best text first; raises ServiceError as the service refuses."""
    try:
        query = body["queries"][0]["textQuery"]["text"]
        texts = [source["inlineDocumentSource"]["textDocument"]["text"] for source in body["sources"]]
        configuration = body["rerankingConfiguration"]["bedrockRerankingConfiguration"]
        arn = configuration["modelConfiguration"]["modelArn"]
    except (KeyError, IndexError, TypeError) as error:
        raise _refused(f"{error} is missing") from error
    if not 1 <= len(texts) <= MAX_SOURCES or not all(texts):
        raise _refused(f"expected 1 to {MAX_SOURCES} texts, none of them empty")
    if "rerank" not in arn:
        raise ServiceError("ResourceNotFoundException", 404, "The model is no rerank model.")
    wanted = set(query.lower().split())
    found = [
        {"index": index, "relevanceScore": LEAST + SPAN * len(wanted & set(text.lower().split())) / max(1, len(wanted))}
        for index, text in enumerate(texts)
    ]
    found.sort(key=lambda entry: -entry["relevanceScore"])
    return {"results": found[: configuration.get("numberOfResults", len(found))]}


def characters_of(body: dict[str, Any]) -> int:
    """The length of a request's texts, which is what a rerank model takes its time for."""
    return sum(len(source["inlineDocumentSource"]["textDocument"]["text"]) for source in body["sources"])


def _refused(problem: str) -> ServiceError:
    return ServiceError("ValidationException", 400, f"The request is not valid: {problem}.")
