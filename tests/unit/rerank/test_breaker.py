"""The circuit breaker."""

from flagrank.adapters.in_memory import ManualClock
from flagrank.rerank.breaker import Breaker


def opened(clock: ManualClock) -> Breaker:
    breaker = Breaker(clock, failures_to_open=3, probe_after_s=10)
    for _ in range(3):
        breaker.failed()
    return breaker


def test_a_closed_breaker_allows_calls_through_single_failures() -> None:
    """Failures that a success interrupts never add up."""
    breaker = Breaker(ManualClock(), failures_to_open=2)
    for _ in range(10):
        breaker.failed()
        assert breaker.allows()
        breaker.succeeded()


def test_enough_failures_in_a_row_open_it() -> None:
    """After the last allowed failure no call goes out."""
    assert not opened(ManualClock()).allows()


def test_an_open_breaker_lets_one_probe_through_at_a_time() -> None:
    """When the wait is over one call is allowed, and the next only after another wait."""
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.allows()
    assert not breaker.allows()
    clock.advance(10)
    assert breaker.allows()


def test_a_failed_probe_keeps_it_open() -> None:
    """The wait begins again at the failure."""
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(10)
    breaker.allows()
    clock.advance(2)
    breaker.failed()
    clock.advance(9)
    assert not breaker.allows()


def test_a_probe_that_succeeds_closes_it() -> None:
    """One success is enough to call again."""
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(10)
    breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()
