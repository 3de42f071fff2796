"""The sample set in the repository."""

from pathlib import Path

import numpy as np

from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import resolve_user
from flagrank.model.arrays import NO_ROWS
from flagrank.offline.publishing import artifact_folder
from tests.offline.datasets import whole_shop

SAMPLE = Path(__file__).parents[3] / "artifacts" / "sample"


def test_the_sample_is_the_synthetic_shop() -> None:
    """It verifies, and holds all of today's items with today's texts."""
    factors = artifact_folder.load(SAMPLE)
    shop = whole_shop()
    assert sorted(factors.item_ids.tolist()) == sorted(shop.items)
    assert len(factors.item_ids) == 2520
    assert factors.lexicon == shop.lexicon
    assert all(factors.catalog[row].title == shop.items[factors.item_id(row)].title for row in range(2520))


def test_the_sample_answers_the_readmes_request() -> None:
    """User 123 is known and gets five distinct unseen items."""
    factors = artifact_folder.load(SAMPLE)
    user = resolve_user(factors, 123, NO_ROWS)
    rows = generate(factors, CandidateRequest(user, 5)).rows.tolist()
    assert len(set(rows)) == 5
    assert not np.isin(rows, user.seen).any()


def test_the_sample_is_small() -> None:
    """No file of a mebibyte, three in all: it lies in every clone."""
    sizes = [path.stat().st_size for path in SAMPLE.iterdir()]
    assert max(sizes) < 1024 * 1024
    assert sum(sizes) < 3 * 1024 * 1024


def test_the_sample_tells_how_it_was_made() -> None:
    """The README's command names the parameters that the manifest records."""
    training = artifact_folder.read_manifest(SAMPLE).training
    assert (training["dataset"], training["als"]["factors"]) == ("synthetic", 32)
    assert (training["embedder"], training["neighbours"]["count"]) == ("minilm", 24)
    command = "flagrank train --data synthetic --factors 32 --neighbours 24 --embedder minilm --out artifacts/sample"
    assert command in (SAMPLE / "README.md").read_text("utf-8")
