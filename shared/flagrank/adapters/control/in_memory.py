"""A flag's control plane without a network: deploys at once, and remembers everything."""

import datetime as dt
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace

from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment, deployed_flag
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument, read_document
from flagrank.flags.exposure import exposure, lowers_exposure, raises_exposure
from flagrank.ports import Clock


class InMemoryControl:
    """A RolloutControl with history and versions like AppConfig's. A deployment that raises exposure bakes `bake_s`."""

    def __init__(self, clock: Clock, document: FlagDocument | None = None, bake_s: float = 0.0) -> None:
        self._clock = clock
        self._bake_s = bake_s
        self._lock = threading.Lock()
        self._versions: list[bytes] = []
        self._deployments: list[Deployment] = []
        if document is not None:
            self.deploy(document, ChangeRecord("test", "first document"))

    def deployed(self) -> DeployedFlag:
        """See RolloutControl."""
        return deployed_flag(self.deployments(), self.document, len(self._deployments), len(self._versions))

    def deployments(self) -> Iterator[Deployment]:
        """See RolloutControl."""
        for entry in reversed(self._deployments):
            has_baked = entry.state == "BAKING" and entry.ends_at is not None and self._now() >= entry.ends_at
            yield replace(entry, state="COMPLETE", ended_at=entry.ends_at) if has_baked else entry

    def history(self, limit: int) -> list[Deployment]:
        """See RolloutControl."""
        return list(itertools.islice(self.deployments(), limit))

    def document(self, version: str) -> FlagDocument:
        """See RolloutControl."""
        number = version.removeprefix("v")
        if not number.isdecimal() or not 1 <= int(number) <= len(self._versions):
            raise ConfigurationError(f"no version {version!r}; see `flagrank rollout history`")
        return read_document(self._versions[int(number) - 1], f"v{number}")

    def deploy(
        self, document: FlagDocument, record: ChangeRecord, *, urgent: bool = False, since: DeployedFlag | None = None
    ) -> Deployment:
        """See RolloutControl."""
        with self._lock:
            since = since or self.deployed()
            urgent = urgent or lowers_exposure(since.document, document)
            if len(self._versions) > since.latest_version and len(self._deployments) == since.latest_number:
                raise RolloutRefused("somebody made another version since")
            self._make_way(since, urgent, patient=exposure(document) > 0)
            bake_s = self._bake_s if raises_exposure(since.document, document) else 0.0
            return self._start(self.create_version(document.model_dump_json().encode()), record, bake_s)

    def redeploy(self, version: str, record: ChangeRecord, *, since: DeployedFlag) -> Deployment:
        """See RolloutControl."""
        with self._lock:
            self._make_way(since, urgent=True, patient=True)
            return self._start(int(version), record, 0.0)

    def create_version(self, content: bytes) -> int:
        """Adds a version of any content, as anybody may do without Flagrank; gives its number."""
        self._versions.append(content)
        return len(self._versions)

    def become(self, state: str) -> None:
        """Puts the newest deployment into another state, as AppConfig may do."""
        changed = replace(self._deployments[-1], state=state)
        self._deployments[-1] = replace(changed, ended_at=None if changed.in_flight else self._now())

    def _make_way(self, since: DeployedFlag, urgent: bool, patient: bool) -> None:
        busy = since.in_flight
        if busy and not urgent:
            raise RolloutRefused(busy.progress(self._clock.now()))
        if len(self._deployments) > since.latest_number:
            first = self._deployments[-1]
            raise RolloutRefused(f"deployment {first.number} came first: {first.record.render()}")
        if busy and since.is_lowering and patient:
            raise RolloutRefused(f"exposure goes down already: {busy.progress(self._clock.now())}")
        if busy:
            self.become("ROLLED_BACK")

    def _start(self, version: int, record: ChangeRecord, bake_s: float) -> Deployment:
        number, now = len(self._deployments) + 1, self._now()
        started = Deployment(number, str(version), f"v{version}", "COMPLETE", record.stored(), now, ended_at=now)
        if bake_s:
            started = replace(started, state="BAKING", ends_at=now + dt.timedelta(seconds=bake_s), ended_at=None)
        self._deployments.append(started)
        return started

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._clock.now(), dt.UTC)
