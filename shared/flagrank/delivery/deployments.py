"""The flag's deployments: what is in force, what came before, and the hand that changes it."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import lowers_exposure

IN_FLIGHT = frozenset({"DEPLOYING", "BAKING", "VALIDATING", "ROLLING_BACK"})
UNDONE = frozenset({"ROLLING_BACK", "ROLLED_BACK", "REVERTED"})
# what AppConfig takes of a description
DESCRIPTION_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a flag document; `description` is who, a colon, and what with why.

    `ends_at` is when its strategy has it done, bake and all, unless something ends it before.
    """

    number: int
    version: str
    label: str
    state: str
    description: str
    started_at: str
    ends_at: str = ""

    @property
    def name(self) -> str:
        """Its version, as people call it."""
        return self.label or f"v{self.version}"

    @property
    def in_flight(self) -> bool:
        """Whether the environment is busy with it."""
        return self.state in IN_FLIGHT

    @property
    def arriving(self) -> bool:
        """Whether some users may still be without it: one that bakes is with everyone."""
        return self.state in ("DEPLOYING", "VALIDATING")

    @property
    def started_at_s(self) -> float:
        """When it began, in epoch seconds."""
        return dt.datetime.fromisoformat(self.started_at).timestamp()

    @property
    def ends_at_s(self) -> float:
        """When its strategy has it done, in epoch seconds; 0 where nobody knows."""
        return dt.datetime.fromisoformat(self.ends_at).timestamp() if self.ends_at else 0.0

    @property
    def actor(self) -> str:
        """Who changed the flag."""
        return self.description.partition(": ")[0]

    @property
    def change(self) -> str:
        """What was changed, and why."""
        return self.description.partition(": ")[2]

    def doing(self, now_s: float) -> str:
        """What it is about, and for how much longer where that is known: in words, for whoever has to wait."""
        left_s = self.ends_at_s - now_s
        longer = f", for at most {left_s:.0f} s more" if left_s > 0 and self.state != "ROLLING_BACK" else ""
        return f"deployment {self.number} is {self.state}{longer}: {self.description}"


@dataclass(frozen=True, slots=True)
class DeployedFlag:
    """The document in force with its deployment (None: nothing was ever deployed), and the newest deployment.

    `latest_number` counts every deployment of the environment, another profile's as well. `before` is the document that
    stopping what is in flight would bring back. `unreadable` says why there is a deployment and no document: somebody
    deployed one that this release cannot read, and environments of this release keep the last one that they could.
    """

    document: FlagDocument | None
    deployment: Deployment | None
    newest: Deployment | None
    latest_number: int = 0
    before: FlagDocument | None = None
    unreadable: str | None = None

    @property
    def in_flight(self) -> Deployment | None:
        """The deployment that is not yet done, if any."""
        return self.newest if self.newest is not None and self.newest.in_flight else None

    @property
    def must_end(self) -> bool:
        """Whether what is in flight lowers exposure, so that stopping it would bring the larger share back."""
        if self.in_flight is None:
            return False
        lowering = self.document is not None and lowers_exposure(self.before, self.document)
        return lowering or self.in_flight.state == "ROLLING_BACK"


class RolloutControl(Protocol):
    """The flag's control plane. Raises CloudError where it does not answer."""

    def deployed(self) -> DeployedFlag:
        """What is in force now: the newest deployment that was not undone."""

    def deployments(self) -> Iterator[Deployment]:
        """Every deployment, whatever became of it, newest first, each read when it is asked for."""

    def history(self, limit: int) -> list[Deployment]:
        """The newest of them."""

    def document(self, version: str) -> FlagDocument:
        """The document of a version, by number or label (`v3`).

        Raises ConfigurationError if there is none, or none that this release can read.
        """

    def deploy(
        self,
        document: FlagDocument,
        *,
        actor: str,
        reason: str,
        urgent: bool = False,
        since: DeployedFlag | None = None,
    ) -> Deployment:
        """Puts the document into force for everyone at once; one that raises exposure bakes.

        Raises RolloutRefused while another deployment is in flight, or if the flag changed `since` then (None: now). An
        `urgent` one, as each is that lowers exposure, stops what is in flight, or waits where that lowers exposure as
        well, and no alarm undoes it. One that is slow is given back in flight.
        """

    def redeploy(self, version: str, *, actor: str, reason: str, since: DeployedFlag) -> Deployment:
        """Puts a version that exists into force for everyone at once: urgent, and refused as a deploy is."""


def in_force(deployed: DeployedFlag) -> tuple[FlagDocument, Deployment]:
    """The document in force and its deployment.

    Raises RolloutRefused if there is none, and ConfigurationError if there is none that can be read.
    """
    if deployed.unreadable:
        ways = "`flagrank rollout off` and `rollback` replace it"
        raise ConfigurationError(f"what is deployed cannot be changed: {deployed.unreadable}; {ways}")
    if deployed.document is None or deployed.deployment is None:
        raise RolloutRefused("nothing is deployed yet; see `flagrank rollout init`")
    return deployed.document, deployed.deployment


def described(actor: str, reason: str) -> str:
    """Who, a colon, and what with why, in one line that AppConfig takes."""
    return " ".join(f"{actor}: {reason}".split())[:DESCRIPTION_CHARS]
