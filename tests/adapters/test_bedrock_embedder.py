"""Embeddings over `invoke_model`: what is sent, what is understood, and what is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import pytest

from flagrank.adapters.aws_clients import bedrock_embedding_client
from flagrank.adapters.bedrock_embedder import COHERE_TEXTS, FAMILIES, MAX_CHARACTERS, BedrockEmbedder
from flagrank.errors import EmbeddingUnavailable
from flagrank.local.bedrock import LLMBehaviour, create_app
from tests.adapters.loopback import REGION, Answer, Call, Loopback, client, failure
from tests.local.conftest import served

TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-multilingual-v3"
DIMENSIONS = {"amazon.titan-embed-text-v2:0": 256, "cohere.embed-multilingual-v3": 1024, "cohere.embed-v4:0": 256}


@contextmanager
def asked(model_id: str, document: Callable[[dict[str, Any]], Any]) -> Iterator[tuple[BedrockEmbedder, list[Call]]]:
    """An embedder whose service answers each body with a document, and the calls that reach the service."""

    def respond(call: Call) -> Answer:
        return Answer(body=orjson.dumps(document(orjson.loads(call.body))))

    with Loopback(respond) as server:
        made = client("bedrock-runtime", server.url)
        yield BedrockEmbedder(made, model_id), server.calls
        made.close()


def rows(count: int, dimensions: int = 1024) -> list[list[float]]:
    return [[1.0, *[0.0] * (dimensions - 1)]] * count


def cohere(body: dict[str, Any]) -> dict[str, Any]:
    return {"embeddings": rows(len(body["texts"])), "response_type": "embeddings_floats"}


def test_titan_is_asked_for_one_text_a_call() -> None:
    """Its body has the text, the dimensions and normalised output."""
    with asked(TITAN, lambda body: {"embedding": rows(1, 256)[0]}) as (embedder, calls):
        embedder.embed(["one", "two"])
    bodies = sorted((orjson.loads(call.body) for call in calls), key=lambda body: str(body["inputText"]), reverse=True)
    assert bodies == [{"inputText": text, "dimensions": 256, "normalize": True} for text in ("two", "one")]
    assert calls[0].path == "/model/amazon.titan-embed-text-v2%3A0/invoke"


def test_cohere_is_asked_for_as_many_texts_as_it_takes() -> None:
    """The catalogue goes in groups of 96, as documents."""
    with asked(COHERE, cohere) as (embedder, calls):
        embedder.embed([f"item {number}" for number in range(2 * COHERE_TEXTS + 1)])
    bodies = [orjson.loads(call.body) for call in calls]
    assert sorted(len(body["texts"]) for body in bodies) == [1, COHERE_TEXTS, COHERE_TEXTS]
    assert {body["input_type"] for body in bodies} == {"search_document"}


def test_every_row_is_its_own_text_s_whatever_call_answers_first() -> None:
    """Parallel calls are put together in the texts' order."""

    def numbered(body: dict[str, Any]) -> dict[str, Any]:
        row = np.zeros(256)
        row[int(body["inputText"])] = 2.5
        return {"embedding": row.tolist()}

    with asked(TITAN, numbered) as (embedder, _):
        found = embedder.embed([str(number) for number in range(40)])
    np.testing.assert_array_equal(found, np.eye(256, dtype=np.float32)[:40])


def test_empty_texts_are_not_sent() -> None:
    """The service would refuse the whole call for one of them."""
    with asked(COHERE, cohere) as (embedder, calls):
        found = embedder.embed(["", "pan", "  "])
    assert [orjson.loads(call.body)["texts"] for call in calls] == [["pan"]]
    assert found.any(axis=1).tolist() == [False, True, False]


def test_a_text_is_sent_as_far_as_the_service_reads() -> None:
    """A long description is cut, not refused."""
    with asked(COHERE, cohere) as (embedder, calls):
        embedder.embed(["x" * 5000])
    assert len(orjson.loads(calls[0].body)["texts"][0]) == MAX_CHARACTERS


@pytest.mark.parametrize("model_id", list(DIMENSIONS))
def test_the_name_tells_model_and_dimensions(model_id: str) -> None:
    """Vectors of different widths cannot be taken for each other."""
    assert BedrockEmbedder(None, model_id).name == f"bedrock:{model_id}/{DIMENSIONS[model_id]}"


def test_a_family_that_is_not_known_is_refused_with_those_that_are() -> None:
    """Before anything is sent."""
    with pytest.raises(EmbeddingUnavailable) as caught:
        BedrockEmbedder(None, "meta.llama3-8b-instruct-v1:0")
    assert all(family in str(caught.value) for family in FAMILIES)


@pytest.mark.parametrize(
    "document",
    [
        {"embeddings": rows(1)},
        {"embeddings": rows(2, 1023)},
        {"embeddings": [rows(1)[0], rows(1, 8)[0]]},
        {"embeddings": [rows(1)[0], [0.0] * 1024]},
        {"embeddings": [rows(1)[0], [None] * 1024]},
        {"embeddings": [rows(1)[0], ["much"] * 1024]},
        {"embeddings": {"int8": rows(2)}},
        {"message": "no"},
        ["no"],
    ],
    ids=["too few", "too short", "ragged", "zeros", "nulls", "words", "other type", "other members", "a list"],
)
def test_an_answer_that_is_no_embedding_of_each_text_is_refused(document: Any) -> None:
    """Nothing half-right gets into the artifacts."""
    with asked(COHERE, lambda body: document) as (embedder, _), pytest.raises(EmbeddingUnavailable, match=COHERE):
        embedder.embed(["one", "two"])


@pytest.mark.parametrize(
    ("code", "status"),
    [("AccessDeniedException", 403), ("ValidationException", 400), ("ThrottlingException", 429)],
)
def test_a_refusal_says_what_the_service_said(code: str, status: int) -> None:
    """The model and the service's own words are in the message."""
    with Loopback(lambda call: failure(code, status)) as server:
        made = client("bedrock-runtime", server.url)
        with pytest.raises(EmbeddingUnavailable, match=f"{COHERE}.*{code}"):
            BedrockEmbedder(made, COHERE).embed(["one"])
        made.close()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.mark.usefixtures("credentials")
def test_a_throttled_call_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client that the command uses waits its turn."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0)
    with served(create_app(LLMBehaviour(throttled=0.3))) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
        made = bedrock_embedding_client()
        found = BedrockEmbedder(made, TITAN).embed([f"item {number}" for number in range(20)])
        made.close()
    assert found.any(axis=1).all()


@pytest.mark.parametrize("model_id", list(DIMENSIONS))
def test_the_stand_in_embeds_by_words(model_id: str) -> None:
    """A text's own words in another order have cosine 1; no shared word leaves chance collisions at most."""
    with served(create_app(LLMBehaviour())) as url:
        made = client("bedrock-runtime", url)
        one, turned, other = BedrockEmbedder(made, model_id).embed(["steel pan", "pan steel", "wireless mouse"])
        made.close()
    assert one @ turned == pytest.approx(1)
    assert one @ other < 0.6
