"""Money that is reserved before it is spent, so that a counter which cannot be written means that nobody is asked.

A process adds what its next call may cost at most to the day's spend, and only while less than the cap is spent. What
a call did not cost pays for the next ones. A process that goes on asking reserves for several calls at once, twice as
many each time, so that few calls wait for the counter; near the cap it reserves for one alone (infra/decisions/0091).
"""

import threading
from contextlib import suppress
from dataclasses import dataclass

from flagrank.errors import CacheUnavailable, CostCapReached
from flagrank.ports import ScoreCache
from flagrank.rerank.pricing import over_cap

MOST_CALLS_AHEAD = 8
NO_LIMIT = 10**18


@dataclass(frozen=True, slots=True)
class Reserved:
    """So many micro-USD of a day, until it is known what was used."""

    day: str
    micro_usd: int


class Allowance:
    """What this process has reserved of a day's money, and not spent yet."""

    def __init__(self, cache: ScoreCache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._day = ""
        self._cap = 0.0
        self._left_micro_usd = 0
        self._calls_ahead = 1

    def reserve(self, day: str, daily_usd_cap: float, micro_usd: int, spent_micro_usd: int) -> Reserved:
        """Takes `micro_usd` of what is left here, or of the day's money by one write of the cache.

        `spent_micro_usd` is the day's spend as it was read. Raises CostCapReached, and CacheUnavailable for a failed
        write: what it may have reserved all the same is not used.
        """
        with self._lock:
            if (day, daily_usd_cap) != (self._day, self._cap):
                # another day's money is no use here, nor is what another cap allowed; what is owed stays
                owed = min(0, self._left_micro_usd) if day == self._day else 0
                self._day, self._cap, self._left_micro_usd, self._calls_ahead = day, daily_usd_cap, owed, 1
            if 0 < micro_usd <= self._left_micro_usd:
                self._left_micro_usd -= micro_usd
                return Reserved(day, micro_usd)
            owed = max(0, -self._left_micro_usd)
            self._left_micro_usd += owed
            calls = self._calls_ahead
        ahead_micro_usd = 0
        try:
            if trouble := over_cap(daily_usd_cap, spent_micro_usd):
                raise trouble
            if micro_usd:
                ahead_micro_usd = self._written(day, daily_usd_cap, micro_usd, owed, calls)
        except (CostCapReached, CacheUnavailable):
            self._give(day, -owed)
            raise
        with self._lock:
            if day == self._day:
                self._left_micro_usd += ahead_micro_usd
                self._calls_ahead = min(MOST_CALLS_AHEAD, 2 * calls)
        return Reserved(day, micro_usd)

    def settle(self, reserved: Reserved, used_micro_usd: int) -> None:
        """Gives back what was not used; what was used beyond it is owed, and reserved with the next call."""
        self._give(reserved.day, reserved.micro_usd - used_micro_usd)

    def give_back(self) -> None:
        """Takes what is left here off the day's spend, for a process that has no more to ask; a failure costs it."""
        with self._lock:
            left, self._left_micro_usd = max(0, self._left_micro_usd), min(0, self._left_micro_usd)
        if left:
            with suppress(CacheUnavailable):
                self._cache.reserve_spend(self._day, -left, NO_LIMIT)

    def _give(self, day: str, micro_usd: int) -> None:
        with self._lock:
            if day == self._day:
                self._left_micro_usd += micro_usd

    def _written(self, day: str, daily_usd_cap: float, micro_usd: int, owed: int, calls: int) -> int:
        """Reserves for one call and what is owed, and for further ones where the cap has room; what these are given."""
        cap_micro_usd, ahead = round(daily_usd_cap * 1e6), (calls - 1) * micro_usd
        whole = micro_usd + owed + ahead
        if ahead and self._cache.reserve_spend(day, whole, cap_micro_usd - whole + 1):
            return ahead
        if self._cache.reserve_spend(day, micro_usd + owed, cap_micro_usd):
            return 0
        raise CostCapReached(f"at least {cap_micro_usd} micro-USD spent today")
