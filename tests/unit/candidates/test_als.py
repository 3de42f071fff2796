"""Stage 1: exact top-k and the user's vector."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.candidates import als as retrieval
from flagrank.candidates.als import top_k
from flagrank.candidates.fold_in import fold_in
from flagrank.model.arrays import NO_ROWS, Rows
from flagrank.model.factors import Factors
from tests.factories import make_factors


def brute_force(factors: Factors, vector: np.ndarray, k: int, masked: Rows, eligible: np.ndarray | None) -> set[int]:
    scores = (factors.item_factors.astype(np.float64) @ vector.astype(np.float64)).astype(np.float64)
    open_rows = [
        row for row in range(len(scores)) if row not in set(masked.tolist()) and (eligible is None or eligible[row])
    ]
    return set(sorted(open_rows, key=lambda row: (-scores[row], row))[:k])


@settings(max_examples=200)
@given(
    seed=st.integers(0, 10_000),
    items=st.integers(1, 400),
    k=st.integers(1, 60),
    skew=st.sampled_from([0.0, 1.0, 3.0]),
    masked_share=st.sampled_from([0.0, 0.2, 0.9]),
    filtered=st.booleans(),
)
def test_the_early_stop_never_loses_an_item(
    seed: int, items: int, k: int, skew: float, masked_share: float, filtered: bool
) -> None:
    """The norm-ordered scan finds what a full sort finds, with flat and with skewed norms, masks and filters."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(items, 6)) * rng.uniform(0.01, 1, size=(items, 1)) ** skew
    vectors = vectors[np.argsort(-np.linalg.norm(vectors, axis=1))].astype(np.float32)
    factors = make_factors(items, dimension=6, item_factors=vectors, item_gram=vectors.T @ vectors)
    user = rng.normal(size=6).astype(np.float32)
    masked = rng.choice(items, int(items * masked_share), replace=False).astype(np.int64)
    eligible = rng.random(items) < 0.5 if filtered else None
    rows, scores = top_k(factors, user, k, masked, eligible)
    expected = brute_force(factors, user, k, masked, eligible)
    assert len(rows) == len(expected)
    # float32 may swap items whose scores differ by rounding alone
    for row in set(rows.tolist()) ^ expected:
        assert float(vectors[row] @ user) == pytest.approx(float(scores[-1]), rel=1e-5, abs=1e-6)
    assert (np.diff(scores) <= 0).all()


def test_equal_scores_come_in_row_order() -> None:
    """Ties are decided by row, so that the answer is the same on every machine."""
    same = np.ones((30, 4), np.float32)
    factors = make_factors(30, dimension=4, item_factors=same)
    rows, _ = top_k(factors, np.ones(4, np.float32), 5, np.array([0, 2], np.int64))
    assert rows.tolist() == [1, 3, 4, 5, 6]


def test_fold_in_solves_the_normal_equations() -> None:
    """Without a prior the vector is the minimiser of ALS's weighted squared error, so its gradient vanishes."""
    factors = make_factors()
    history = np.array([1, 5, 20], np.int64)
    vector = fold_in(factors, history, prior_interactions=0).astype(np.float64)
    items = factors.item_factors.astype(np.float64)
    confidence = np.ones(len(items))
    confidence[history] = factors.fold_in.confidence
    wanted = np.zeros(len(items))
    wanted[history] = 1.0
    gradient = items.T @ (confidence * (items @ vector - wanted)) + factors.fold_in.regularization * vector
    assert np.abs(gradient).max() < 1e-4


@given(history=st.sets(st.integers(0, 49), min_size=1, max_size=30))
def test_a_prior_pulls_towards_the_mean_user(history: set[int]) -> None:
    """The more it is worth beside the history, the closer the vector is to the mean user, and in the end equal."""
    factors = make_factors()
    rows = np.array(sorted(history), np.int64)
    metric = factors.item_gram + factors.fold_in.regularization * np.eye(len(factors.mean_user))
    away = [fold_in(factors, rows, prior_interactions=worth) - factors.mean_user for worth in (0, 1, 4, 16, 1e9)]
    distances = np.sqrt([offset @ metric @ offset for offset in away])
    assert (np.diff(distances) <= 1e-3 * distances[0]).all()
    assert distances[-1] <= 1e-3 * distances[0]


@given(seed=st.integers(0, 10_000), rank=st.integers(1, 8), history=st.sets(st.integers(0, 49), min_size=1))
def test_rounding_does_not_decide_a_fold_in(seed: int, rank: int, history: set[int]) -> None:
    """The last bit of the published Gram matrix moves no score, even where the items span fewer directions than d."""
    rng = np.random.default_rng(seed)
    items = (rng.normal(size=(50, rank)) @ rng.normal(size=(rank, 8))).astype(np.float32)
    items = items[np.argsort(-np.linalg.norm(items, axis=1), kind="stable")]
    gram = items.T @ items
    last_bit = np.tril(rng.choice([-1, 1], size=gram.shape) * np.spacing(gram))
    rounded = (gram + last_bit + np.tril(last_bit, -1).T).astype(np.float32)
    rows = np.array(sorted(history), np.int64)
    one, other = (
        items @ fold_in(make_factors(50, item_factors=items, item_gram=each), rows) for each in (gram, rounded)
    )
    assert one == pytest.approx(other, abs=1e-5)


def test_a_repeated_history_item_counts_once() -> None:
    """Sending an item twice does not double its weight."""
    factors = make_factors()
    assert np.array_equal(fold_in(factors, np.array([1, 5])), fold_in(factors, np.array([5, 1, 5])))


def test_the_scan_covers_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging the best of growing blocks gives the same list as one block."""
    factors = make_factors(items=500)
    user = factors.user_factors[0]
    whole = top_k(factors, user, 20, NO_ROWS)[0]
    monkeypatch.setattr(retrieval, "FIRST_BLOCK", 4)
    assert top_k(factors, user, 20, NO_ROWS)[0].tolist() == whole.tolist()
