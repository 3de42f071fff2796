"""A ramp's lease without a network."""

import threading

from flagrank.delivery.lease import Lease
from flagrank.ports import Clock


class InMemoryLeases:
    """One flag's lease, as every LeaseStore keeps it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lease: Lease | None = None

    def current(self) -> Lease | None:
        """See LeaseStore."""
        lease = self._lease
        return lease if lease is not None and lease.expires_s > self._clock.now() else None

    def take(self, lease: Lease, *, over: bool = False) -> Lease | None:
        """See LeaseStore."""
        with self._lock:
            other = self.current()
            if other is not None and other.holder != lease.holder and not over:
                return other
            self._lease = lease
            return None

    def release(self, holder: str) -> None:
        """See LeaseStore."""
        with self._lock:
            if self._lease is not None and self._lease.holder == holder:
                self._lease = None
