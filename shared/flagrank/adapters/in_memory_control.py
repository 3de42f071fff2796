"""A flag's control plane without a network: deploys at once, and remembers everything."""

import datetime as dt
import threading
from dataclasses import replace

from flagrank.deployments import UNDONE, DeployedFlag, Deployment
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.ports import Clock
from flagrank.rollout import FlagDocument


class InMemoryControl:
    """A RolloutControl, with history and versions as AppConfig's has them."""

    def __init__(self, clock: Clock, document: FlagDocument | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._versions: list[FlagDocument] = []
        self._deployments: list[Deployment] = []
        if document is not None:
            self.deploy(document, actor="test", reason="first document")

    def deployed(self) -> DeployedFlag:
        """See RolloutControl."""
        newest = self._deployments[-1] if self._deployments else None
        standing = next((entry for entry in reversed(self._deployments) if entry.state not in UNDONE), None)
        document = self._versions[int(standing.version) - 1] if standing else None
        return DeployedFlag(document, standing, newest, newest.number if newest else 0)

    def deploy(
        self,
        document: FlagDocument,
        *,
        actor: str,
        reason: str,
        urgent: bool = False,
        since: DeployedFlag | None = None,
    ) -> Deployment:
        """See RolloutControl; without `since` whatever is in force is replaced."""
        with self._lock:
            self._check(since or self.deployed(), urgent)
            self._versions.append(document)
            return self._start(len(self._versions), f"{actor}: {reason}")

    def redeploy(self, version: str, *, actor: str, reason: str, since: DeployedFlag) -> Deployment:
        """Puts a version that exists into force, urgently."""
        with self._lock:
            self._check(since, urgent=True)
            return self._start(int(version), f"{actor}: {reason}")

    def history(self, limit: int) -> list[Deployment]:
        """The newest deployments, newest first."""
        return self._deployments[: -limit - 1 : -1]

    def document(self, version: str) -> FlagDocument:
        """The document of a version, by number or label; raises ConfigurationError if there is none."""
        number = version.removeprefix("v")
        if not number.isdecimal() or not 1 <= int(number) <= len(self._versions):
            raise ConfigurationError(f"no version {version!r}; see `flagrank rollout history`")
        return self._versions[int(number) - 1]

    def become(self, state: str) -> None:
        """Puts the newest deployment into another state, as AppConfig might."""
        self._deployments[-1] = replace(self._deployments[-1], state=state)

    def _check(self, since: DeployedFlag, urgent: bool) -> None:
        busy = since.in_flight
        if busy and not urgent:
            raise RolloutRefused(f"deployment {busy.number} is {busy.state}: {busy.description}")
        if len(self._deployments) > since.latest_number:
            first = self._deployments[-1]
            raise RolloutRefused(f"deployment {first.number} came first: {first.description}")
        if busy:
            self.become("REVERTED")

    def _start(self, version: int, description: str) -> Deployment:
        started_at = dt.datetime.fromtimestamp(self._clock.now(), dt.UTC).isoformat()
        number = len(self._deployments) + 1
        deployment = Deployment(number, str(version), f"v{version}", "COMPLETE", description, started_at)
        self._deployments.append(deployment)
        return deployment
