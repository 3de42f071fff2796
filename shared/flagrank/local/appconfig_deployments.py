"""AppConfig's deployments without their wire: they move with the clock, and back when stopped or when an alarm rings.

After the API reference (https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference). Simplifications: a growing
deployment serves its version to everyone from the start, one that is rolled back the version before at once, and one
without any minutes is complete before a monitor sees it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flagrank.local.rest_json import bad_request, conflict, not_found

REVERT_WINDOW_S = 72 * 3600
IN_FLIGHT = frozenset({"DEPLOYING", "BAKING"})
BUSY = IN_FLIGHT | {"ROLLING_BACK"}


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a strategy's minute lasts, and how long a rollback is under way."""

    minute_s: float = 60.0
    rollback_s: float = 0.0


@dataclass(slots=True)
class Monitor:
    """The CloudWatch alarm of every environment that watches any; without `actions` AppConfig does not heed it."""

    firing: bool = False
    actions: bool = True


@dataclass(slots=True)
class Deployment:
    """One deployment; `ended` is set by a stop or a rollback, everything else follows from the clock."""

    number: int
    profile_id: str
    version: int
    strategy: Mapping[str, Any]
    description: str
    started_s: float
    pace: Pace
    ended: str | None = None
    ended_s: float = 0.0

    @property
    def deploying_s(self) -> float:
        """How long it grows."""
        minutes: float = self.strategy["DeploymentDurationInMinutes"]
        return minutes * self.pace.minute_s

    @property
    def completed_s(self) -> float:
        """When it is, or was, done one way or the other."""
        baking_s: float = self.strategy["FinalBakeTimeInMinutes"] * self.pace.minute_s
        return self.ended_s or self.started_s + self.deploying_s + baking_s

    def state(self, now_s: float) -> str:
        """DEPLOYING, BAKING, COMPLETE, or how it is undone."""
        if self.ended == "ROLLED_BACK" and now_s < self.ended_s:
            return "ROLLING_BACK"
        if self.ended:
            return self.ended
        if now_s < self.started_s + self.deploying_s:
            return "DEPLOYING"
        return "BAKING" if now_s < self.completed_s else "COMPLETE"

    def roll_back(self, now_s: float) -> None:
        """Begins a rollback."""
        self.ended, self.ended_s = "ROLLED_BACK", now_s + self.pace.rollback_s


@dataclass(slots=True)
class Deployments:
    """The deployments of one environment, oldest first."""

    pace: Pace
    entries: list[Deployment] = field(default_factory=list)

    def watch(self, monitor: Monitor, now_s: float) -> None:
        """Rolls back what is in flight while the alarm rings."""
        for entry in self.entries:
            if monitor.firing and monitor.actions and entry.state(now_s) in IN_FLIGHT:
                entry.roll_back(now_s)

    def start(
        self,
        profile_id: str,
        version: int,
        strategy: Mapping[str, Any],
        description: str,
        latest: int | None,
        now_s: float,
    ) -> Deployment:
        """Begins a deployment; one at a time, and after `latest` if that is named."""
        if latest is not None and latest != len(self.entries):
            raise conflict(f"LatestDeploymentNumber is {len(self.entries)}, not {latest}")
        if any(entry.state(now_s) in BUSY for entry in self.entries):
            raise conflict("another deployment is in progress in this environment")
        started = Deployment(len(self.entries) + 1, profile_id, version, strategy, description, now_s, self.pace)
        self.entries.append(started)
        return started

    def stop(self, number: str, allow_revert: bool, now_s: float) -> Deployment:
        """Rolls back one that is DEPLOYING; with `allow_revert` also one that bakes, or completed within 72 hours."""
        entry = self.find(number)
        state = entry.state(now_s)
        if state == "DEPLOYING" or (allow_revert and state == "BAKING"):
            entry.roll_back(now_s)
        elif allow_revert and state == "COMPLETE" and now_s - entry.completed_s < REVERT_WINDOW_S:
            entry.ended, entry.ended_s = "REVERTED", now_s
        else:
            raise bad_request(f"a deployment that is {state} cannot be stopped")
        return entry

    def find(self, number: str) -> Deployment:
        """A deployment by its number."""
        if not number.isdecimal() or not 1 <= int(number) <= len(self.entries):
            raise not_found("Deployment")
        return self.entries[int(number) - 1]

    def served(self, profile_id: str) -> int:
        """The version of a profile that pollers get."""
        numbers = [entry.version for entry in self.entries if entry.profile_id == profile_id and entry.ended is None]
        if not numbers:
            raise not_found("Deployment")
        return numbers[-1]
