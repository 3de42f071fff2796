"""A flag's control plane without a network: deploys at once, and remembers everything."""

import datetime as dt
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace

from flagrank.delivery.deployments import UNDONE, DeployedFlag, Deployment, described
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument, read_document
from flagrank.flags.exposure import exposure, lowers_exposure, raises_exposure
from flagrank.ports import Clock


class InMemoryControl:
    """A RolloutControl, with history and versions as AppConfig's has them; a rise bakes for `bake_s`."""

    def __init__(self, clock: Clock, document: FlagDocument | None = None, bake_s: float = 0.0) -> None:
        self._clock = clock
        self._bake_s = bake_s
        self._lock = threading.Lock()
        self._versions: list[bytes] = []
        self._deployments: list[Deployment] = []
        if document is not None:
            self.deploy(document, actor="test", reason="first document")

    def deployed(self) -> DeployedFlag:
        """See RolloutControl."""
        entries = list(self.deployments())
        standing = [entry for entry in entries if entry.state not in UNDONE]
        newest, current = (next(iter(some), None) for some in (entries, standing))
        before = standing[1] if current and current.in_flight and len(standing) > 1 else None
        document, unreadable = self._read(current)
        return DeployedFlag(document, current, newest, len(entries), self._read(before)[0], unreadable)

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
            since = since or self.deployed()
            urgent = urgent or lowers_exposure(since.document, document)
            self._check(since, urgent, patient=exposure(document) > 0)
            bake_s = self._bake_s if raises_exposure(since.document, document) else 0.0
            return self._start(self.create_version(document.model_dump_json().encode()), actor, reason, bake_s)

    def redeploy(self, version: str, *, actor: str, reason: str, since: DeployedFlag) -> Deployment:
        """Puts a version that exists into force, urgently."""
        with self._lock:
            self._check(since, urgent=True, patient=True)
            return self._start(int(version), actor, reason, 0.0)

    def deployments(self) -> Iterator[Deployment]:
        """Every deployment, newest first."""
        for entry in reversed(self._deployments):
            baked = entry.state == "BAKING" and entry.ends_at and self._clock.now() >= entry.ends_at_s
            yield replace(entry, state="COMPLETE") if baked else entry

    def history(self, limit: int) -> list[Deployment]:
        """The newest of them."""
        return list(itertools.islice(self.deployments(), limit))

    def document(self, version: str) -> FlagDocument:
        """The document of a version, by number or label; raises ConfigurationError if there is none."""
        number = version.removeprefix("v")
        if not number.isdecimal() or not 1 <= int(number) <= len(self._versions):
            raise ConfigurationError(f"no version {version!r}; see `flagrank rollout history`")
        return read_document(self._versions[int(number) - 1], version)

    def create_version(self, content: bytes) -> int:
        """A version of any content, as anybody might make one past Flagrank; gives its number."""
        self._versions.append(content)
        return len(self._versions)

    def become(self, state: str) -> None:
        """Puts the newest deployment into another state, as AppConfig might."""
        self._deployments[-1] = replace(self._deployments[-1], state=state)

    def _check(self, since: DeployedFlag, urgent: bool, patient: bool) -> None:
        busy = since.in_flight
        if busy and not urgent:
            raise RolloutRefused(busy.doing(self._clock.now()))
        if len(self._deployments) > since.latest_number:
            first = self._deployments[-1]
            raise RolloutRefused(f"deployment {first.number} came first: {first.description}")
        if busy and busy.state == "ROLLING_BACK":
            self.become("ROLLED_BACK")
        elif busy and since.must_end and patient:
            raise RolloutRefused(f"exposure goes down already: {busy.doing(self._clock.now())}")
        elif busy:
            self.become("ROLLED_BACK")

    def _start(self, version: int, actor: str, reason: str, bake_s: float) -> Deployment:
        number, now_s = len(self._deployments) + 1, self._clock.now()
        state, ends_at = ("BAKING", _iso(now_s + bake_s)) if bake_s else ("COMPLETE", "")
        description = described(actor, reason)
        deployment = Deployment(number, str(version), f"v{version}", state, description, _iso(now_s), ends_at)
        self._deployments.append(deployment)
        return deployment

    def _read(self, deployment: Deployment | None) -> tuple[FlagDocument | None, str | None]:
        try:
            return (self.document(deployment.version) if deployment else None), None
        except ConfigurationError as error:
            return None, str(error)


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
