"""The sample set in the repository."""

from pathlib import Path

import numpy as np
import pytest

from flagrank.flags.document import FlagDocument
from flagrank.model.attributes import encoded
from flagrank.model.filters import parse_filter
from flagrank.offline.publishing import artifact_folder
from tests.offline.datasets import whole_shop
from tests.wiring import Wired, ids

SAMPLE = Path(__file__).parents[3] / "artifacts" / "sample"
CONTROL = FlagDocument(enabled=True, percent=0)


@pytest.fixture(scope="module")
def deployed() -> Wired:
    """The service as a first deploy has it: the sample, and nobody treated."""
    return Wired(CONTROL, factors=artifact_folder.load(SAMPLE))


def test_the_sample_is_the_synthetic_shop() -> None:
    """It verifies, and holds all of today's items with today's texts."""
    factors = artifact_folder.load(SAMPLE)
    shop = whole_shop()
    assert sorted(factors.item_ids.tolist()) == sorted(shop.items)
    assert len(factors.item_ids) == 2520
    assert factors.lexicon == shop.lexicon
    assert all(factors.catalog[row].title == shop.items[factors.item_id(row)].title for row in range(2520))


def test_the_sample_holds_todays_attributes() -> None:
    """Every item has the price, the stock and the brand that the shop's data give it."""
    factors, declared = artifact_folder.load(SAMPLE), whole_shop().attributes
    assert set(factors.attributes) == set(declared) == {"price", "stock", "brand"}
    for name, published in factors.attributes.items():
        values = [declared[name].values[item_id] for item_id in factors.item_ids.tolist()]
        todays = encoded(declared[name].type, values)
        assert (published.type, published.texts) == (todays.type, todays.texts)
        assert np.array_equal(published.values, todays.values)


def test_the_sample_answers_the_readmes_request(deployed: Wired) -> None:
    """User 123 is known and gets five distinct unseen items, ordered by Stage 2."""
    answer = deployed.recommend(123, top_k=5)
    factors = deployed.store.current()
    row = factors.user_row(123)
    assert row is not None
    assert len(set(ids(answer))) == 5
    assert not {entry.candidate.row for entry in answer.items} & {*factors.seen(row).tolist()}
    assert (answer.mode, factors.stage2 is not None) == ("baseline", True)


def test_the_sample_finds_what_a_query_names(deployed: Wired) -> None:
    """The README's query, by twelve users: at least four of five are headsets, from anywhere in the catalogue."""
    query = "cordless headset for work calls"
    for user_id in range(1, 1201, 100):
        found = deployed.recommend(user_id, query=query, top_k=5, explain=True).items
        assert sum("headset" in entry.candidate.text.split() for entry in found) >= 4
        assert all("lexical" in entry.candidate.sources for entry in found)


def test_the_sample_understands_a_filter(deployed: Wired) -> None:
    """Every item meets the README's filter, and is in stock."""
    wanted = "price<50,brand=Auralis|Borea"
    answer = deployed.recommend(123, filter=wanted, top_k=100)
    rows = [entry.candidate.row for entry in answer.items]
    assert len(rows) > 20
    assert parse_filter(f"{wanted},stock>0").mask(deployed.store.current().attributes)[rows].all()


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
