"""Money is reserved before it is spent: whatever fails, the day's cap holds."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagrank.adapters.in_memory import InMemoryScoreCache, ManualClock
from flagrank.domain import Reason
from flagrank.errors import CacheUnavailable, CostCapReached
from flagrank.flags.document import FlagDocument
from flagrank.rerank.spending import Allowance
from tests.wiring import Wired

DAY = "2027-01-15"
CAP_USD = 0.01
CAP = 10_000
MOST = 700


class Table(InMemoryScoreCache):
    """Counts reservations, and fails as it is told: before the sum is added, or after it."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.writes = 0
        self.fails: Callable[[], str] = lambda: "never"

    def reserve_spend(self, day: str, micro_usd: int, below_micro_usd: int) -> bool:
        self.writes += 1
        fails = self.fails()
        if fails == "before":
            raise CacheUnavailable("told to")
        is_reserved = super().reserve_spend(day, micro_usd, below_micro_usd)
        if fails == "after":
            raise CacheUnavailable("the answer was lost")
        return is_reserved

    def spent(self) -> int:
        return self.read("", DAY).spent_micro_usd


def ask(allowance: Allowance, table: Table, used: int, most: int = MOST) -> bool:
    """One request: reserves, uses, settles; False where it made no call."""
    try:
        reserved = allowance.reserve(DAY, CAP_USD, most, table.spent())
    except (CacheUnavailable, CostCapReached):
        return False
    allowance.settle(reserved, used)
    return True


def test_a_counter_that_cannot_be_written_means_no_call() -> None:
    """However often it is tried, and in however many environments."""
    table = Table()
    table.fails = lambda: "before"
    allowances = [Allowance(table) for _ in range(20)]
    assert not any(ask(allowance, table, 100) for allowance in allowances for _ in range(10))


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    environments=st.integers(1, 20),
    failing=st.sampled_from([0.0, 0.3, 0.9]),
    most=st.integers(1, 3000),
)
def test_the_cap_holds_whatever_fails(seed: int, environments: int, failing: float, most: int) -> None:
    """What is used never exceeds what is counted, nor the cap by more than one request."""
    dice, table, used = random.Random(seed), Table(), 0
    table.fails = lambda: dice.choice(["before", "after"]) if dice.random() < failing else "never"
    allowances = [Allowance(table) for _ in range(environments)]
    for _ in range(300):
        cost = dice.randint(0, most)
        used += cost * ask(dice.choice(allowances), table, cost, most)
        assert used <= table.spent()
    assert used < CAP + most


def test_each_environment_that_is_mistaken_is_so_for_one_request() -> None:
    """A model that uses more than was counted for: the next call pays for it, or is not made."""
    table = Table()
    allowances, used = [Allowance(table) for _ in range(20)], 0
    for _ in range(50):
        for allowance in allowances:
            used += 3 * MOST * ask(allowance, table, 3 * MOST)
    assert used <= CAP + len(allowances) * 3 * MOST


def test_threads_of_one_process_share_what_is_reserved() -> None:
    """The queue's worker judges several tasks at once: no micro-USD is used twice."""
    table = Table()
    allowance = Allowance(table)
    with ThreadPoolExecutor(8) as pool:
        made = sum(pool.map(lambda _: ask(allowance, table, MOST), range(100)))
    assert made * MOST <= table.spent()
    assert made in (CAP // MOST, CAP // MOST + 1)


def test_an_environment_that_goes_on_asking_seldom_waits_for_the_counter() -> None:
    """A hundred calls at their most are some fifteen writes; at a quarter of it, a few."""
    for used, most_writes in ((10, 16), (2, 6)):
        table = Table()
        allowance = Allowance(table)
        assert all(ask(allowance, table, used, most=10) for _ in range(100))
        assert table.writes <= most_writes


def test_what_an_environment_has_reserved_it_may_use_though_the_cap_is_reached() -> None:
    """The day's spend holds its own reservation."""
    table = Table()
    allowance = Allowance(table)
    first = allowance.reserve(DAY, CAP_USD, CAP, 0)
    allowance.settle(first, 1)
    assert table.spent() == CAP
    assert ask(allowance, table, 1, most=10)
    assert not ask(Allowance(table), table, 1, most=10)


def test_a_process_that_ends_gives_back_what_it_has_not_used() -> None:
    """Once: the day's spend is then what was used."""
    table = Table()
    allowance = Allowance(table)
    assert all(ask(allowance, table, 100) for _ in range(5))
    for _ in range(2):
        allowance.give_back()
        assert table.spent() == 500


def test_a_cap_that_is_lowered_holds_at_once() -> None:
    """What an earlier document allowed and nobody has used is not used any more."""
    table = Table()
    allowance = Allowance(table)
    allowance.settle(allowance.reserve(DAY, CAP_USD, CAP, 0), 1)
    with pytest.raises(CostCapReached):
        allowance.reserve(DAY, CAP_USD / 2, 10, table.spent())


def test_another_day_begins_with_nothing_reserved() -> None:
    """Yesterday's money is counted for yesterday."""
    table = Table()
    allowance = Allowance(table)
    allowance.settle(allowance.reserve(DAY, CAP_USD, CAP, 0), 1)
    allowance.reserve("2027-01-16", CAP_USD, 10, 0)
    assert table.read("", "2027-01-16").spent_micro_usd == 10


def test_a_request_whose_money_cannot_be_reserved_makes_no_call() -> None:
    """Reads work, and the counter cannot be written: the baseline, with the cache as the reason."""
    wired = Wired(FlagDocument(enabled=True, percent=100, alpha=0.0))

    def refuse(day: str, micro_usd: int, below_micro_usd: int) -> bool:
        raise CacheUnavailable("told to")

    wired.cache.reserve_spend = refuse  # type: ignore[method-assign]
    assert {wired.recommend(query=f"steel {number}").reason for number in range(5)} == {Reason.CACHE}
    assert wired.llm.prompts == []
