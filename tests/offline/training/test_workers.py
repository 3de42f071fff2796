"""Work that is shared among processes."""

import pytest

from flagrank.offline.training.workers import Workers


def added(state: int, task: int) -> int:
    """The sum of both; no task is below zero."""
    if task < 0:
        raise ValueError("below zero")
    return state + task


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_tasks(processes: int) -> None:
    """And each work has its own state."""
    with Workers(processes) as workers:
        assert list(workers.map(added, 10, range(20))) == list(range(10, 30))
        assert list(workers.map(added, 100, range(3))) == [100, 101, 102]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_in_a_process_is_raised(processes: int) -> None:
    """As if there were none."""
    with Workers(processes) as workers, pytest.raises(ValueError, match="below zero"):
        list(workers.map(added, 0, [1, -1]))
