"""The lease of the ramp that this process runs, and what the lease of another one means to an operator."""

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flagrank.delivery.lease import Lease, LeaseStore
from flagrank.errors import CloudError, RolloutRefused
from flagrank.ports import Clock

# renewed at each observation, and CloudWatch may take a minute for one
SPARE_S = 120
WAYS = "wait for it, lower exposure with `flagrank rollout off` or `rollback`, or repeat this with --take-over"


@dataclass(slots=True)
class RampLease:
    """Keeps a lease while a ramp runs. An outage of the store is said with `tell`, and does not stop the ramp.

    `every_s` is how often the ramp observes, and so renews.
    """

    open_store: Callable[[], LeaseStore]
    actor: str
    ramp: str
    every_s: float
    clock: Clock
    tell: Callable[[str], None]
    _store: LeaseStore | None = field(default=None, init=False)
    _holder: str = field(default_factory=lambda: uuid.uuid4().hex, init=False)

    def take(self, *, over: bool) -> None:
        """Takes the lease; raises RolloutRefused while another ramp has it, unless `over`."""
        try:
            self._store = self.open_store()
            other = self._store.take(self._lease(), over=over)
            if other is not None and is_dead(other):
                other = self._store.take(self._lease(), over=True)
        except CloudError as error:
            self.tell(f"other operators are not told of this ramp: {error}")
            return
        if other is not None:
            raise RolloutRefused(f"{other.words}: {WAYS}")

    @contextmanager
    def kept(self, *, over: bool) -> Iterator[None]:
        """Takes the lease for the block; raises RolloutRefused while another ramp has it, unless `over`."""
        self.take(over=over)
        try:
            yield
        finally:
            self.release()

    def taken_over_by(self) -> str | None:
        """Renews the lease; the name of whoever took it over, if anybody did."""
        if self._store is None:
            return None
        try:
            other = self._store.take(self._lease())
        except CloudError as error:
            self.tell(f"other operators may not be told of this ramp any more: {error}")
            return None
        return other.actor if other is not None else None

    def release(self) -> None:
        """Gives the lease up, if it can; it expires in any case."""
        if self._store is None:
            return
        try:
            self._store.release(self._holder)
        except CloudError as error:
            self.tell(f"the ramp's lease stays until it expires: {error}")

    def _lease(self) -> Lease:
        expires_s = int(self.clock.now() + 3 * self.every_s + SPARE_S)
        return Lease(self._holder, self.actor, self.ramp, socket.gethostname(), os.getpid(), expires_s)


def refuse_during_a_ramp(open_store: Callable[[], LeaseStore], tell: Callable[[str], None]) -> None:
    """Raises RolloutRefused while somebody's ramp is at work, also one of the same operator's."""
    try:
        lease = open_store().current()
    except CloudError as error:
        tell(f"whether somebody's ramp is at work is not known: {error}")
        return
    if lease is not None and not is_dead(lease):
        raise RolloutRefused(f"{lease.words}: {WAYS}")


def is_dead(lease: Lease) -> bool:
    """Whether the lease's process ran on this machine and is gone: it was killed, and could not give its lease up."""
    if lease.host != socket.gethostname():
        return False
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
