"""What every Clock promises."""

import time

import pytest

from flagrank.adapters.in_memory import ManualClock
from flagrank.adapters.system_clock import SystemClock
from flagrank.ports import Clock

EPOCH_OF_2020_S = 1_577_836_800


@pytest.fixture(params=[SystemClock, ManualClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_monotonic_time_never_goes_back(clock: Clock) -> None:
    """A later reading is never the smaller one."""
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_now_counts_seconds_since_the_epoch(clock: Clock) -> None:
    """It is a moment of this century in seconds, not in milliseconds or since start."""
    assert EPOCH_OF_2020_S < clock.now() < 3 * EPOCH_OF_2020_S


def test_the_system_clock_is_the_machine_s() -> None:
    """It reads what `time` reads."""
    before = (time.monotonic(), time.time())
    clock = SystemClock()
    assert before[0] <= clock.monotonic() <= time.monotonic()
    assert before[1] <= clock.now() <= time.time()


def test_a_manual_clock_moves_both_scales_together() -> None:
    """What it is advanced by passes on either scale."""
    clock = ManualClock()
    monotonic, now = clock.monotonic(), clock.now()
    clock.advance(2.5)
    assert (clock.monotonic() - monotonic, clock.now() - now) == (2.5, 2.5)
