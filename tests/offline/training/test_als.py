"""Training, and the set that it assembles."""

from dataclasses import replace

import numpy as np
import pytest
from implicit.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError

from flagrank.candidates.fold_in import fold_in
from flagrank.candidates.generate import generate
from flagrank.candidates.source import CandidateRequest
from flagrank.candidates.user import User, resolve_user
from flagrank.domain import UserKind
from flagrank.errors import DataError
from flagrank.model.arrays import NO_ROWS
from flagrank.model.artifacts import MANIFEST, decode, parse_manifest
from flagrank.model.attributes import MISSING_INTEGER
from flagrank.model.encoding import encode
from flagrank.model.factors import Factors
from flagrank.offline.data.interactions import Dataset, Item, ItemAttribute
from flagrank.offline.training.als import AlsParameters, confidence_matrix, train
from tests.offline.datasets import BOARD, QUICK, as_dataset, checkerboard, whole_shop

SIZE = 30


@pytest.fixture(scope="module")
def board() -> Factors:
    return train(checkerboard(SIZE), BOARD)


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return whole_shop()


@pytest.fixture(scope="module")
def trained(shop: Dataset) -> Factors:
    return train(shop, AlsParameters(factors=16, iterations=2))


def top_ids(factors: Factors, user: User, k: int) -> list[int | str]:
    return [factors.item_id(row) for row in generate(factors, CandidateRequest(user, k)).rows.tolist()]


def test_every_user_gets_the_item_that_was_left_out(board: Factors) -> None:
    """On the checkerboard the best unseen item is one's own number: the only one of the own colour left."""
    found = [top_ids(board, resolve_user(board, user, NO_ROWS), 1)[0] for user in range(SIZE)]
    assert found == list(range(SIZE))


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_new_user_gets_the_colour_of_the_history(seed: int) -> None:
    """Three even items fold in to a taste for even items, wherever training begins."""
    board = train(checkerboard(SIZE), replace(BOARD, seed=seed))
    history = np.array(board.item_rows([0, 2, 4]), np.int64)
    user = resolve_user(board, 999, history)
    assert user.kind is UserKind.FOLD_IN
    assert set(top_ids(board, user, 12)) == set(range(6, SIZE, 2))


def test_the_set_survives_its_own_format(trained: Factors, shop: Dataset) -> None:
    """What training assembles is what the reader's checks demand, and nothing changes on the way."""
    files = encode(trained, created="2026-01-01T00:00:00+00:00", training={})
    read = decode(parse_manifest(files[MANIFEST]), files.__getitem__)
    assert np.array_equal(read.item_factors, trained.item_factors)
    assert np.array_equal(read.seen_indices, trained.seen_indices)
    assert len(read.catalog) == len(read.item_ids) == len(np.unique(shop.interactions.items))
    assert read.lexicon == shop.lexicon


def test_items_lie_by_falling_norm(trained: Factors) -> None:
    """So that retrieval may stop early."""
    assert (np.diff(np.linalg.norm(trained.item_factors.astype(np.float64), axis=1)) <= 1e-6).all()


def test_every_array_moved_with_its_item(trained: Factors, shop: Dataset) -> None:
    """After the sort, popularity and catalogue line still belong to the row's item."""
    counts = dict(zip(*np.unique(shop.interactions.items, return_counts=True), strict=True))
    for row in range(0, len(trained.item_ids), 97):
        item_id = trained.item_id(row)
        assert trained.popularity[row] == counts[item_id]
        assert trained.catalog[row].title == shop.items[item_id].title


def test_seen_items_are_the_users_own_oldest_first(trained: Factors, shop: Dataset) -> None:
    """Each user's rows name exactly the items interacted with, in time order."""
    rows = shop.interactions
    for user_id in (1, 600, 1200):
        own = rows.users == user_id
        in_time_order = rows.items[own][np.argsort(rows.timestamps[own], kind="stable")]
        row = trained.user_row(user_id)
        assert row is not None
        assert trained.item_ids[trained.seen(row)].tolist() == in_time_order.tolist()


def test_the_same_seed_gives_the_same_factors(shop: Dataset, trained: Factors) -> None:
    """Bit for bit, on one machine; another seed gives others."""
    again = train(shop, AlsParameters(factors=16, iterations=2))
    other = train(shop, AlsParameters(factors=16, iterations=2, seed=1))
    assert again.item_factors.tobytes() == trained.item_factors.tobytes()
    assert again.user_factors.tobytes() == trained.user_factors.tobytes()
    assert other.item_factors.tobytes() != trained.item_factors.tobytes()


def test_texts_are_rewritten_and_capped() -> None:
    """The catalogue holds canonical tokens, as many as asked for; an item without a text still has a title."""
    dataset = replace(
        as_dataset([(1, 10, 1), (1, 11, 2), (2, 10, 3)]),
        items={10: Item("The Cordless Lamp", "home", "bright and warm for reading"), 12: Item("Unsold", "home", "")},
    )
    factors = train(dataset, replace(QUICK, factors=2, text_tokens=3))
    lines = {factors.item_id(row): factors.catalog[row] for row in range(3)}
    assert (lines[10].title, lines[10].category, lines[10].text) == ("The Cordless Lamp", "home", "cordless lamp home")
    assert (lines[11].title, lines[11].category) == ("Item 11", "unknown")


def test_attributes_lie_in_the_order_of_the_items() -> None:
    """Each item keeps its own, whatever its place; an item without a value, or without a row, has none."""
    dataset = replace(
        as_dataset([(1, 10, 1), (1, 11, 2), (2, 10, 3)]),
        items={item: Item("Lamp", "home", "") for item in (10, 12, 13)},
        attributes={"stock": ItemAttribute("integer", {12: 7, 10: 0}), "brand": ItemAttribute("text", {13: "Acme"})},
    )
    factors = train(dataset, replace(QUICK, factors=2))
    stock, brand = factors.attributes["stock"], factors.attributes["brand"]
    values = dict(zip(factors.item_ids.tolist(), stock.values.tolist(), strict=True))
    codes = dict(zip(factors.item_ids.tolist(), brand.values.tolist(), strict=True))
    assert values == {10: 0, 12: 7, 11: MISSING_INTEGER, 13: MISSING_INTEGER}
    assert (codes, brand.texts) == ({10: -1, 11: -1, 12: -1, 13: 0}, ("Acme",))


def test_an_item_that_nobody_met_is_recommendable_from_its_text() -> None:
    """Half the board is called even, half odd; a new even item is scored like the even ones, and marked as new."""
    words = {parity: ("even", "odd")[parity] for parity in (0, 1)}
    items: dict[int | str, Item] = {item: Item(f"{words[item % 2]} thing", "board", "") for item in range(SIZE)}
    items |= {100: Item("even novelty", "board", ""), 101: Item("odd novelty", "board", "")}
    factors = train(replace(checkerboard(SIZE), items=items), BOARD)
    even, odd = (row for row in factors.item_rows([100, 101]) if row is not None)
    for user in range(SIZE):
        scores = factors.item_factors @ factors.user_factors[user]
        assert (scores[even] > scores[odd]) == (user % 2 == 0)
    assert np.flatnonzero(factors.is_new).tolist() == sorted((even, odd))


def test_new_items_do_not_change_how_users_are_folded_in(board: Factors) -> None:
    """The Gram matrix is that of the items that ALS was trained on."""
    items: dict[int | str, Item] = {item: Item(f"thing {item % 3}", "board", "") for item in range(SIZE + 5)}
    factors = train(replace(checkerboard(SIZE), items=items), BOARD)
    assert factors.item_gram == pytest.approx(board.item_gram, rel=1e-5)


def test_progress_hears_of_each_iteration() -> None:
    """Once each, counted from one."""
    heard: list[tuple[str, int, int]] = []
    train(checkerboard(6), replace(QUICK, iterations=3), lambda *step: heard.append(step))
    assert heard == [("training ALS", done, 3) for done in (1, 2, 3)]


def test_confidence_grows_with_the_rating() -> None:
    """scale * (1 + weight * (rating - 1)), so a rating of one counts as the scale says."""
    dataset = as_dataset([(1, 10, 1), (1, 11, 2)])
    rated = replace(dataset.interactions, values=np.array([1, 5], np.float32))
    matrix = confidence_matrix(rated, AlsParameters(confidence_scale=2.0, rating_weight=0.25))
    assert matrix.confidence.toarray().tolist() == [[2.0, 4.0]]


def test_the_median_confidence_is_published_for_fold_in() -> None:
    """A history's items have no rating, so each counts as the middle one did in training."""
    dataset = as_dataset([(1, 10, 1), (1, 11, 2), (2, 10, 3)])
    rated = replace(dataset, interactions=replace(dataset.interactions, values=np.array([1, 3, 5], np.float32)))
    parameters = replace(QUICK, factors=2, confidence_scale=2.0, rating_weight=0.5)
    assert train(rated, parameters).fold_in.confidence == 4.0


def test_fold_in_is_the_closed_form(board: Factors) -> None:
    """The vector solves the user's normal equations, written out in full."""
    history = np.array([3, 1, 7])
    items = board.item_factors.astype(np.float64)
    confidences = np.ones(len(items))
    confidences[history] = board.fold_in.confidence
    preferred = np.zeros(len(items))
    preferred[history] = 1
    system = items.T @ (confidences[:, None] * items) + board.fold_in.regularization * np.eye(items.shape[1])
    expected = np.linalg.solve(system, items.T @ (confidences * preferred))
    assert fold_in(board, history, prior_interactions=0) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_fold_in_is_what_implicit_would_compute() -> None:
    """The trainer's own half step, on the same items and confidences, gives the same vector."""
    dataset = checkerboard(SIZE)
    factors = train(dataset, QUICK)
    model = AlternatingLeastSquares(
        factors=QUICK.factors, regularization=QUICK.regularization, alpha=1.0, use_cg=False, use_gpu=False
    )
    matrix = confidence_matrix(dataset.interactions.latest(), QUICK)
    columns = np.argsort(factors.item_ids)
    model.item_factors = factors.item_factors[columns]
    model.user_factors = factors.user_factors
    for user in (0, 1, SIZE - 1):
        own = np.array(factors.item_rows(matrix.item_ids[matrix.confidence[user].indices].tolist()), np.int64)
        expected = model.recalculate_user(user, matrix.confidence[user])
        assert fold_in(factors, own, prior_interactions=0) == pytest.approx(np.ravel(expected), rel=1e-3, abs=1e-4)


def test_factors_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without regularization ALS may diverge where there are more factors than data; the error says what to do."""

    def diverge(*_: object, **__: object) -> None:
        raise ModelFitError("NaN encountered in factors")

    monkeypatch.setattr("implicit.cpu.als.AlternatingLeastSquares.fit", diverge)
    with pytest.raises(DataError, match=r"^rows: leaves ALS without finite factors; raise --regularization$"):
        train(as_dataset([(1, 1, 1)]), QUICK)
