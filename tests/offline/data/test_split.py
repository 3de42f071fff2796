"""What is held out, and the rows that splitting and training see."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flagrank.offline.data.interactions import Dataset, Interactions
from flagrank.offline.data.split import held_out_last, split_at_random
from tests.offline.datasets import checkerboard

PER_USER = 2

type Row = tuple[int, int, int]

ROWS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 50)), min_size=1, max_size=60)


def interactions(rows: list[Row]) -> Interactions:
    """Rows of user, item and time; the value is the row's number, to tell duplicates apart."""
    users, items, timestamps = np.array(rows, np.int64).T
    return Interactions(users, items, np.arange(len(rows), dtype=np.float32), timestamps)


def pairs(rows: Interactions) -> list[tuple[int, int]]:
    return list(zip(rows.users.tolist(), rows.items.tolist(), strict=True))


def split(rows: list[Row]) -> tuple[Interactions, Interactions]:
    done = held_out_last(Dataset("rows", interactions(rows), {}), PER_USER)
    assert done.held_out is not None
    return done.interactions, done.held_out


@given(ROWS)
def test_nothing_is_lost_and_nothing_is_in_both(rows: list[Row]) -> None:
    """Kept and held-out pairs are disjoint, and together every pair of the data, once."""
    kept, held_out = split(rows)
    together = pairs(kept) + pairs(held_out)
    assert len(together) == len(set(together))
    assert set(together) == {(user, item) for user, item, _ in rows}


@given(ROWS)
def test_nothing_held_out_came_before_what_is_kept(rows: list[Row]) -> None:
    """For each user the model learns from the past only."""
    kept, held_out = split(rows)
    for user in np.unique(held_out.users):
        assert held_out.timestamps[held_out.users == user].min() >= kept.timestamps[kept.users == user].max()


@given(ROWS)
def test_each_user_gives_a_fixed_number_or_none(rows: list[Row]) -> None:
    """`per_user` of those with twice as many distinct items, nothing of the rest."""
    _, held_out = split(rows)
    for user in {row[0] for row in rows}:
        distinct = len({item for owner, item, _ in rows if owner == user})
        assert (held_out.users == user).sum() == (PER_USER if distinct >= 2 * PER_USER else 0)


@given(ROWS)
def test_a_repeated_pair_counts_once_in_its_latest_row(rows: list[Row]) -> None:
    """The latest by time, and of equal times the one that came last in the source; rows lie in time order."""
    latest = interactions(rows).latest()
    expected: dict[tuple[int, int], tuple[int, int]] = {}
    for number, (user, item, time) in enumerate(rows):
        expected[user, item] = max(expected.get((user, item), (0, 0)), (time, number))
    found = zip(latest.timestamps.tolist(), latest.values.tolist(), strict=True)
    assert dict(zip(pairs(latest), found, strict=True)) == expected
    assert (np.diff(latest.timestamps) >= 0).all()


def test_a_share_of_all_interactions_is_held_out_at_random() -> None:
    """So many to the row, none in both parts, others for another seed."""
    board = checkerboard(20)
    one, other = (split_at_random(board, 0.25, seed) for seed in (1, 2))
    assert one.held_out is not None
    assert other.held_out is not None
    total = len(board.interactions.latest())
    assert len(one.held_out) == round(0.25 * total)
    kept, held = (
        {*zip(part.users.tolist(), part.items.tolist(), strict=True)} for part in (one.interactions, one.held_out)
    )
    assert not kept & held
    assert len(kept | held) == total
    assert one.random_split
    assert one.held_out.items.tolist() != other.held_out.items.tolist()
