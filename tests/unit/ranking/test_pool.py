"""A pool of items as entries: made when they are looked at, and the same as if all had been made at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.domain import Candidate
from flagrank.ranking.hybrid import hybrid_order
from flagrank.ranking.pool import Pool
from flagrank.ranking.scoring import baseline_order
from tests.factories import make_factors

ITEMS = 30
FACTORS = make_factors(ITEMS, popularity=np.array([0, *range(1, ITEMS)], np.float32))


@given(rows=st.lists(st.integers(0, ITEMS - 1), unique=True), seed=st.integers(0, 99))
def test_a_pool_is_the_baseline_of_its_candidates(rows: list[int], seed: int) -> None:
    """Ids, texts, ranks and scores as the set has them, in the order of the rows."""
    scores = np.sort(np.random.default_rng(seed).normal(size=len(rows)))[::-1]
    pool = Pool(FACTORS, np.array(rows, np.int64), scores)
    candidates = []
    for rank, (row, score) in enumerate(zip(rows, scores.tolist(), strict=True)):
        item = FACTORS.catalog[row]
        item_id = int(FACTORS.item_ids[row])
        candidates.append(Candidate(row, item_id, score, rank, item.title, item.category, item.text, row == 0))
    assert [*pool] == baseline_order(candidates)


def test_a_pool_is_read_like_any_sequence() -> None:
    """By place from either end, by slice, and not beyond its end; an entry is made once."""
    pool = Pool(FACTORS, np.array([4, 2, 9], np.int64), np.array([3.0, 2.0, 1.0], np.float32))
    assert len(pool) == 3
    assert pool[-1].candidate.row == 9
    assert [entry.candidate.row for entry in pool[:2]] == [4, 2]
    assert pool[1] is pool[1]
    with pytest.raises(IndexError):
        pool[3]


@given(
    judged=st.dictionaries(st.integers(0, ITEMS - 1), st.integers(0, 100)),
    filled=st.dictionaries(st.integers(0, ITEMS - 1), st.integers(0, 100)),
    alpha=st.floats(0, 1),
    cap=st.none() | st.integers(1, ITEMS),
    seed=st.integers(0, 99),
)
def test_a_pool_is_blended_as_its_entries_are(
    judged: dict[int, int], filled: dict[int, int], alpha: float, cap: int | None, seed: int
) -> None:
    """Its columns give the order and the scores that the entries themselves would, and the LLM's word goes first."""
    rng = np.random.default_rng(seed)
    pool = Pool(FACTORS, rng.permutation(ITEMS), np.sort(rng.normal(size=ITEMS))[::-1])
    hybrid = hybrid_order(pool, judged, alpha, filled, cap)
    assert [*hybrid] == [*hybrid_order([*pool], judged, alpha, filled, cap)]
    for entry in hybrid:
        baseline = pool[entry.candidate.rank]
        given_score = judged.get(entry.candidate.rank, filled.get(entry.candidate.rank))
        if given_score is None:
            assert entry == baseline
        else:
            assert entry.final_score == alpha * baseline.final_score + (1 - alpha) * (given_score / 100)
