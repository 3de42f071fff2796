"""The ranking metrics."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.offline.metrics import ranking as metrics
from flagrank.offline.metrics.ranking import bootstrap, ndcg_at_k, recall_at_k

ITEMS = st.integers(0, 30)
RANKED = st.lists(ITEMS, unique=True, max_size=25)
RELEVANT = st.sets(ITEMS, min_size=1, max_size=12)
CUTOFF = st.integers(1, 20)


def test_recall_is_the_share_of_held_out_items_found() -> None:
    """Two of three among the first four, by hand."""
    assert recall_at_k([[7, 1, 9, 2, 3]], [{1, 2, 3}], 4).tolist() == pytest.approx([2 / 3])


def test_ndcg_discounts_by_place() -> None:
    """Hits in the second and fourth place against an ideal of three, by hand."""
    gain = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at_k([[7, 1, 9, 2, 3]], [{1, 2, 3}], 4).tolist() == pytest.approx([gain / ideal])


def test_the_ideal_is_cut_at_k() -> None:
    """A list of k hits is perfect by NDCG however many more were held out; recall still counts those."""
    assert ndcg_at_k([[1, 2]], [{1, 2, 3, 4}], 2).tolist() == pytest.approx([1.0])
    assert recall_at_k([[1, 2]], [{1, 2, 3, 4}], 2).tolist() == [0.5]


def test_a_short_list_is_scored_by_what_it_holds() -> None:
    """Fewer items than k are no error: the missing places are misses."""
    assert recall_at_k([[1], []], [{1, 2}, {1}], 10).tolist() == [0.5, 0.0]
    assert ndcg_at_k([[1], []], [{1}, {1}], 10).tolist() == [1.0, 0.0]


@given(st.lists(st.tuples(RANKED, RELEVANT), max_size=8), CUTOFF)
def test_each_user_has_a_value_between_nought_and_one(users: list[tuple[list[int], set[int]]], k: int) -> None:
    """One figure per user, in the users' order, never outside 0..1, and independent of the other users."""
    ranked, relevant = [user[0] for user in users], [user[1] for user in users]
    for metric in (recall_at_k, ndcg_at_k):
        values = metric(ranked, relevant, k)
        assert values.shape == (len(users),)
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()
        alone = [metric([ids], [held_out], k)[0] for ids, held_out in users]
        assert values.tolist() == alone


@given(RELEVANT, RANKED, CUTOFF)
def test_a_perfect_list_scores_one(relevant: set[int], rest: list[int], k: int) -> None:
    """All held-out items first, in any order: NDCG is 1, and so is recall where k has room for them."""
    ranked = [*relevant, *(item for item in rest if item not in relevant)]
    assert ndcg_at_k([ranked], [relevant], k)[0] == pytest.approx(1)
    assert recall_at_k([ranked], [relevant], k)[0] == pytest.approx(min(1, k / len(relevant)))


@given(RANKED, RELEVANT)
def test_recall_never_falls_as_k_grows(ranked: list[int], relevant: set[int]) -> None:
    """A longer list finds no less."""
    by_k = [recall_at_k([ranked], [relevant], k)[0] for k in range(1, 30)]
    assert (np.diff(by_k) >= 0).all()


@given(RANKED, RELEVANT, CUTOFF)
def test_what_lies_behind_k_is_not_looked_at(ranked: list[int], relevant: set[int], k: int) -> None:
    """A list and its first k items score the same."""
    for metric in (recall_at_k, ndcg_at_k):
        assert metric([ranked], [relevant], k) == metric([ranked[:k]], [relevant], k)


@pytest.mark.parametrize("counts", [1, 7, 50, 51, 330, 10**7])
def test_a_bootstrap_in_parts_gives_the_same_figures(counts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As reports show them, a resample at a time, a few or all at once: how much memory there is shows in nothing."""
    values = np.random.default_rng(0).normal(size=50)
    expected = bootstrap(values, 33).document()
    monkeypatch.setattr(metrics, "CHUNK_COUNTS", counts)
    assert bootstrap(values, 33).document() == expected
