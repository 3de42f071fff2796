"""How two orders are compared."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.domain import Candidate, Ranked
from flagrank.serving.shadow import compare, kendall_tau


def ranked(rows: list[int]) -> list[Ranked]:
    return [Ranked(Candidate(row, 100 + row, 0.0, row, "", "", ""), 0.0) for row in rows]


def test_the_same_order_changes_nothing() -> None:
    """All of the list overlaps, and the head agrees."""
    same = ranked([3, 1, 2])
    told = compare(same, same, same, same)
    assert (told.changed, told.overlap, told.kendall_tau, told.items) == (False, 1.0, 1.0, (103, 101, 102))


def test_a_swap_at_the_cut_changes_the_list() -> None:
    """One of two items is another, and one of three pairs of the head is turned."""
    head, reranked = ranked([0, 1, 2]), ranked([0, 2, 1])
    told = compare(head[:2], reranked[:2], head, reranked)
    assert (told.changed, told.overlap, told.items) == (True, 0.5, (100, 102))
    assert told.kendall_tau == pytest.approx(1 / 3)


def test_nothing_served_is_nothing_changed() -> None:
    """An empty list and an empty head."""
    told = compare([], [], [], [])
    assert (told.changed, told.overlap, told.kendall_tau) == (False, 1.0, 1.0)


@given(st.integers(2, 12).flatmap(lambda count: st.permutations(range(count))))
def test_tau_counts_the_pairs_that_agree(ranks: list[int]) -> None:
    """Agreeing less disagreeing pairs over all pairs; the reverse order has the opposite tau."""
    signs = [1 if first < second else -1 for first, second in itertools.combinations(ranks, 2)]
    assert kendall_tau(ranks) == pytest.approx(sum(signs) / len(signs))
    assert kendall_tau(ranks[::-1]) == pytest.approx(-kendall_tau(ranks))
