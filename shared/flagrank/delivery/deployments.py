"""The flag's deployments: one of them, what is in force, and the control plane that changes it."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from flagrank.delivery.change_record import ChangeRecord
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure

# AppConfig's states but for COMPLETE. The environment takes no other deployment while one is in flight
ARRIVING = frozenset({"DEPLOYING", "VALIDATING"})
IN_FLIGHT = ARRIVING | {"BAKING", "ROLLING_BACK"}
UNDONE = frozenset({"ROLLING_BACK", "ROLLED_BACK", "REVERTED"})


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a flag document.

    `ends_at` is when its strategy completes it, if nothing ends it before. `ended_at` is None while it is in flight, or
    if AppConfig does not say.
    """

    number: int
    version: str
    label: str
    state: str
    record: ChangeRecord
    started_at: dt.datetime
    ends_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None

    @property
    def name(self) -> str:
        """The name of its version."""
        return self.label or f"v{self.version}"

    @property
    def in_flight(self) -> bool:
        """Whether the environment is busy with it."""
        return self.state in IN_FLIGHT

    @property
    def is_undone(self) -> bool:
        """Whether AppConfig went back to the document before, or is about to."""
        return self.state in UNDONE

    @property
    def is_arriving(self) -> bool:
        """Whether some users may still be without it. A deployment that bakes has reached everyone."""
        return self.state in ARRIVING

    @property
    def started_at_s(self) -> float:
        """When it began, in epoch seconds."""
        return self.started_at.timestamp()

    def remaining_s(self, now_s: float) -> float:
        """For how many seconds more its strategy keeps it in flight: 0 if that time is over or unknown."""
        return max(0.0, self.ends_at.timestamp() - now_s) if self.ends_at else 0.0

    def progress(self, now_s: float) -> str:
        """Its state, the seconds that remain if they are known, and its record, for somebody who has to wait for it."""
        remaining_s = 0.0 if self.state == "ROLLING_BACK" else self.remaining_s(now_s)
        remaining = f", for at most {remaining_s:.0f} s more" if remaining_s else ""
        return f"deployment {self.number} is {self.state}{remaining}: {self.record.render()}"


@dataclass(frozen=True, slots=True)
class DeployedFlag:
    """What was in force when it was read: the newest deployment that was not undone, and its document.

    `deployment` is None if nothing was ever deployed. `document` is None as well if this release cannot read it;
    `unreadable` then says why, and environments of this release keep the last document that they could read. `newest`
    is the newest deployment, undone or not. `latest_number` counts the deployments of every profile of the environment,
    and `latest_version` the versions of this profile: they tell whether anybody changed the flag since.
    """

    document: FlagDocument | None = None
    deployment: Deployment | None = None
    newest: Deployment | None = None
    latest_number: int = 0
    latest_version: int = 0
    unreadable: str | None = None
    is_lowering: bool = False

    @property
    def in_flight(self) -> Deployment | None:
        """The deployment that is not yet done, if any."""
        return self.newest if self.newest is not None and self.newest.in_flight else None

    @property
    def must_end(self) -> bool:
        """Whether stopping what is in flight would bring a larger exposure back, or cannot be done."""
        busy = self.in_flight
        return busy is not None and (self.is_lowering or busy.state == "ROLLING_BACK")


def deployed_flag(
    newest_first: Iterator[Deployment],
    document_of: Callable[[str], FlagDocument],
    latest_number: int,
    latest_version: int,
) -> DeployedFlag:
    """What is in force, from the deployments newest first. Reads no more of them than it takes.

    `document_of` gives the document of a version, and raises ConfigurationError if that cannot be read.
    """
    newest = deployment = next(newest_first, None)
    while deployment is not None and deployment.is_undone:
        deployment = next(newest_first, None)
    if deployment is None:
        return DeployedFlag(None, None, newest, latest_number, latest_version)
    document, unreadable, is_lowering = None, None, False
    try:
        document = document_of(deployment.version)
    except ConfigurationError as error:
        unreadable = str(error)
    if deployment.in_flight:
        before = next((earlier for earlier in newest_first if not earlier.is_undone), None)
        is_lowering = before is not None and exposure(document) < exposure(readable(document_of, before.version))
    return DeployedFlag(document, deployment, newest, latest_number, latest_version, unreadable, is_lowering)


def readable(document_of: Callable[[str], FlagDocument], version: str) -> FlagDocument | None:
    """The document of a version, None if it cannot be read."""
    try:
        return document_of(version)
    except ConfigurationError:
        return None


class RolloutControl(Protocol):
    """The flag's control plane. Raises CloudError if it does not answer."""

    def deployed(self) -> DeployedFlag:
        """What is in force now."""

    def deployments(self) -> Iterator[Deployment]:
        """Every deployment, newest first, undone or not. Each is read when the iterator reaches it."""

    def history(self, limit: int) -> list[Deployment]:
        """The newest deployments."""

    def document(self, version: str) -> FlagDocument:
        """The document of a version, by number or label (`v3`).

        Raises ConfigurationError if there is no such version, or if this release cannot read it.
        """

    def deploy(
        self, document: FlagDocument, record: ChangeRecord, *, urgent: bool = False, since: DeployedFlag | None = None
    ) -> Deployment:
        """Puts the document into force for everyone at once. A deployment that raises exposure bakes.

        Raises RolloutRefused if another deployment is in flight, or if the flag changed since it was read (`since`, by
        default now). A deployment that lowers exposure is always urgent. An urgent one stops what is in flight, but
        waits for it if that lowers exposure as well; and no alarm undoes an urgent one. A slow deployment is returned
        in flight.
        """

    def redeploy(self, version: str, record: ChangeRecord, *, since: DeployedFlag) -> Deployment:
        """Puts an existing version into force for everyone at once. It is urgent, and refused as `deploy` is."""


def in_force(deployed: DeployedFlag) -> tuple[FlagDocument, Deployment]:
    """The document in force and its deployment.

    Raises RolloutRefused if nothing was deployed, and ConfigurationError if the document cannot be read.
    """
    if deployed.unreadable:
        ways = "`flagrank rollout off` and `rollback` replace it"
        raise ConfigurationError(f"what is deployed cannot be changed: {deployed.unreadable}; {ways}")
    if deployed.document is None or deployed.deployment is None:
        raise RolloutRefused("nothing is deployed yet; see `flagrank rollout init`")
    return deployed.document, deployed.deployment
