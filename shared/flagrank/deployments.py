"""The flag's deployments: what is in force, what came before, and the hand that changes it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flagrank.guard import ACTOR
from flagrank.rollout import FlagDocument

IN_FLIGHT = frozenset({"DEPLOYING", "BAKING", "VALIDATING", "ROLLING_BACK"})
UNDONE = frozenset({"ROLLED_BACK", "REVERTED"})
# what a change begins with, after its actor, that leaves the document before it for bad
RETREATS = ("rollback", "off")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a flag document; `description` is who, a colon, and what with why."""

    number: int
    version: str
    label: str
    state: str
    description: str
    started_at: str

    @property
    def in_flight(self) -> bool:
        """Whether the environment is busy with it."""
        return self.state in IN_FLIGHT

    @property
    def started_at_s(self) -> float:
        """When it began, in epoch seconds."""
        return dt.datetime.fromisoformat(self.started_at).timestamp()

    @property
    def actor(self) -> str:
        """Who changed the flag."""
        return self.description.partition(": ")[0]

    @property
    def change(self) -> str:
        """What was changed, and why."""
        return self.description.partition(": ")[2]

    @property
    def is_retreat(self) -> bool:
        """Whether it left the document before it because that was bad."""
        return self.actor == ACTOR or self.change.startswith(RETREATS)


@dataclass(frozen=True, slots=True)
class DeployedFlag:
    """The document in force with its deployment (None: nothing was ever deployed), and the newest deployment.

    `latest_number` counts every deployment of the environment, another profile's as well.
    """

    document: FlagDocument | None
    deployment: Deployment | None
    newest: Deployment | None
    latest_number: int = 0

    @property
    def in_flight(self) -> Deployment | None:
        """The deployment that is not yet done, if any."""
        return self.newest if self.newest is not None and self.newest.in_flight else None


class RolloutControl(Protocol):
    """The flag's control plane. Raises CloudError where it does not answer."""

    def deployed(self) -> DeployedFlag:
        """What is in force now: the newest deployment that was not undone."""

    def history(self, limit: int) -> list[Deployment]:
        """The newest deployments, whatever became of them, newest first."""

    def document(self, version: str) -> FlagDocument:
        """The document of a version, by number or label (`v3`); raises ConfigurationError if there is none."""

    def deploy(
        self,
        document: FlagDocument,
        *,
        actor: str,
        reason: str,
        urgent: bool = False,
        since: DeployedFlag | None = None,
    ) -> Deployment:
        """Puts the document into force for everyone at once.

        Raises RolloutRefused while another deployment is in flight, or if the flag changed `since` then (None: now). An
        `urgent` one stops what is in flight, and no alarm undoes it.
        """

    def redeploy(self, version: str, *, actor: str, reason: str, since: DeployedFlag) -> Deployment:
        """Puts a version that exists into force for everyone at once: urgent, and refused as a deploy is."""


def way_back(history: Sequence[Deployment]) -> Deployment | None:
    """The newest deployment before the one in force that nobody ever retreated from; `history` is newest first.

    A version that was undone, or that a rollback, an `off` or the guard left, stays bad however often it is deployed,
    and even if that retreat was undone: so going back twice goes back twice (infra/decisions/0051).
    """
    standing: list[Deployment] = []
    bad = set()
    for entry in reversed(history):
        if standing and entry.is_retreat:
            bad.add(standing[-1].version)
        if entry.state in UNDONE:
            bad.add(entry.version)
        else:
            standing.append(entry)
    bad |= {entry.version for entry in standing[-1:]}
    return next((entry for entry in reversed(standing) if entry.version not in bad), None)
