"""Factors for items that nobody has met yet."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.offline.data.interactions import Item
from flagrank.offline.training import als as training
from flagrank.offline.training import new_items
from flagrank.offline.training.als import train
from flagrank.offline.training.new_items import MAX_CATEGORIES, TextFeatures, most_popular, predict_factors
from tests.offline.datasets import QUICK, checkerboard

SIZE = 30
RNG = np.random.default_rng(0)
KNOWN, NEW = RNG.normal(size=(40, 5)), RNG.normal(size=(9, 5))
FACTORS = RNG.normal(size=(40, 3)).astype(np.float32)
POPULARITY = RNG.integers(1, 50, 40).astype(np.float32)


def test_a_linear_truth_is_found() -> None:
    """Factors that are a linear function of the text's features are predicted to the digit."""
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(4, 3))
    known, new = rng.normal(size=(80, 4)), rng.normal(size=(5, 4))
    predicted = predict_factors(known, (known @ slopes).astype(np.float32), np.ones(80, np.float32), [new])
    assert predicted == pytest.approx(new @ slopes, abs=2e-2)


def test_noise_shrinks_to_the_mean() -> None:
    """Where texts say nothing, leave-one-out picks a penalty that says next to nothing."""
    rng = np.random.default_rng(0)
    known, new = rng.normal(size=(60, 20)), rng.normal(size=(30, 20))
    factors = rng.normal(size=(60, 3)).astype(np.float32)
    assert np.abs(predict_factors(known, factors, np.ones(60, np.float32), [new])).mean() < 0.2


@given(st.lists(st.integers(0, len(NEW)), max_size=4).map(sorted))
def test_parts_give_the_same_as_one(cuts: list[int]) -> None:
    """However the new items are divided, empty parts too: the order is theirs and so are the factors."""
    whole = predict_factors(KNOWN, FACTORS, POPULARITY, [NEW])
    parts = predict_factors(KNOWN, FACTORS, POPULARITY, iter(np.split(NEW, cuts)))
    assert parts.dtype == np.float32
    assert parts == pytest.approx(whole, rel=1e-5, abs=1e-6)


def test_a_catalogue_of_many_new_items_is_predicted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new item gets the factors that it gets beside all others at once."""
    items: dict[int | str, Item] = {item: Item(f"thing {item % 3}", "board", "") for item in range(SIZE + 7)}
    dataset = replace(checkerboard(SIZE), items=items)
    whole = train(dataset, QUICK)
    monkeypatch.setattr(training, "MAX_KNOWN", 2)
    parts = train(dataset, QUICK)
    assert sorted(parts.item_ids.tolist()) == sorted(items)
    factors = [
        found.item_factors[[row for row in found.item_rows(sorted(items)) if row is not None]]
        for found in (whole, parts)
    ]
    assert factors[1] == pytest.approx(factors[0], rel=1e-5, abs=1e-6)


def test_the_regression_learns_from_the_most_popular(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they lie, and of equals the first."""
    monkeypatch.setattr(new_items, "MAX_KNOWN", 3)
    assert most_popular(np.array([2, 9, 1, 5, 2], np.float32)).tolist() == [0, 1, 3]
    assert most_popular(np.array([2, 9], np.float32)).tolist() == [0, 1]


def test_words_that_few_items_share_are_left_out() -> None:
    """And those that all of them share, which tell nothing apart."""
    texts = [f"common {'red' if number % 2 else 'blue'} model{number}" for number in range(20)]
    assert TextFeatures.of(["one"] * 20, texts).weights.keys() == {"red", "blue"}


def test_free_text_as_a_category_is_not_a_column_an_item() -> None:
    """The commonest categories have columns; an item of another has none of its own and is a row all the same."""
    rare = [f"rare {number}" for number in range(MAX_CATEGORIES + 50)]
    features = TextFeatures.of([*rare, "common", "common"], [""] * (len(rare) + 2))
    assert len(features.categories) == MAX_CATEGORIES
    assert "common" in features.categories
    left_out = next(category for category in rare if category not in features.categories)
    table = features.table([left_out, "common"], ["", ""], None)
    assert table.shape == (2, 1 + MAX_CATEGORIES)
    assert table.sum(axis=1).tolist() == [1, 2]
