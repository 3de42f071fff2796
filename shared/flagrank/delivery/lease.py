"""Whose ramp is at work: a lease that a ramp renews, and that expires by itself once nobody does.

It tells operators of each other, and decides nothing else: the deployments are a ramp's memory, and AppConfig's own
check of the latest deployment is what keeps two changes apart (infra/decisions/0055).
"""

import datetime as dt
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """A ramp at work until `expires_s` (epoch s), unless it is renewed: who runs it, where, and its percentages.

    `holder` is the running command itself, unlike any other.
    """

    holder: str
    actor: str
    ramp: str
    host: str
    pid: int
    expires_s: int

    @property
    def words(self) -> str:
        """Whose ramp it is, for somebody who meets it."""
        until = dt.datetime.fromtimestamp(self.expires_s, dt.UTC).isoformat(timespec="seconds")
        return f"{self.actor}'s ramp {self.ramp} is at work (process {self.pid} on {self.host}, heard of until {until})"


class LeaseStore(Protocol):
    """Where the one lease of a flag is kept. Raises CloudError if it does not answer."""

    def current(self) -> Lease | None:
        """The lease that has not expired."""

    def take(self, lease: Lease, *, over: bool = False) -> Lease | None:
        """Stores or renews the lease, and gives the lease of another holder who is in the way, or None.

        With `over` nobody is in the way.
        """

    def release(self, holder: str) -> None:
        """Removes the lease if it is this holder's."""
