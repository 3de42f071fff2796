"""Times contestants in turns, so that all of them meet the same machine, whatever else it does."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

type Step = Callable[[int], object]
type Times = dict[str, npt.NDArray[np.float64]]

LEAST_ROUNDS = 5


def interleaved(
    steps: Mapping[str, Step], rounds: int, *, warm_up: int = 3, budget_s: float = 20.0, wall: bool = False
) -> Times:
    """Each step's times in ms, by name: every round calls each step once, with the number of the round.

    The times are those of this process's processors, its threads' together: on a busy machine a long call is
    interrupted and a short one is not, so that a ratio of their wall times would be the machine's. With `wall` they are
    wall times, for calls that wait for other processes. Ends early once `budget_s` is over, but never before
    LEAST_ROUNDS.
    """
    clock = time.perf_counter_ns if wall else time.process_time_ns
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(min(warm_up, rounds)):
        for step in steps.values():
            step(number)
    ends_s = time.monotonic() + budget_s
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.monotonic() > ends_s:
            break
        for name, step in steps.items():
            started = clock()
            step(number)
            taken[name].append((clock() - started) / 1e6)
    return {name: np.array(values) for name, values in taken.items()}
