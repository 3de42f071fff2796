"""A ramp's changes of the flag: they survive outages, refusals and lost answers, and are not made twice."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment, RolloutControl
from flagrank.delivery.ramp_report import Ending, RampEnded, RampReport
from flagrank.errors import CloudError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.ports import Clock


@dataclass(frozen=True, slots=True)
class RampChanges:
    """What a ramp does to the flag. `wait` sleeps for seconds, which are `retry_s` here; `on_event` gets messages."""

    control: RolloutControl
    clock: Clock
    wait: Callable[[float], None]
    retry_s: float
    on_event: Callable[[str], None]

    def deployed(self, doing: str, document: FlagDocument, until_s: float = math.inf) -> DeployedFlag:
        """What is deployed, read as soon as AWS answers.

        Raises RampEnded at `until_s` (epoch s), with `document` as what the ramp left in force.
        """
        while True:
            try:
                return self.control.deployed()
            except CloudError as error:
                self.on_event(f"{doing}: {error}")
                if self.clock.now() >= until_s:
                    raise RampEnded(RampReport(Ending.HELD, doing, document)) from error
            self.wait(self.retry_s)

    def switch_off(
        self, off: FlagDocument, record: ChangeRecord, failed: Deployment, before: DeployedFlag, failing: str
    ) -> Deployment | None:
        """Tries to switch off until it is off; returns the deployment of somebody else who was faster, or None.

        `failed` is the deployment to switch off, `before` what was deployed when it was judged, and `failing` the
        message of each attempt.
        """
        own, made, why = None, None, ""
        while True:
            if own is None:
                try:
                    own = self._off(off, record, made, before)
                except (CloudError, RolloutRefused) as error:
                    why = str(error)
            if own is not None and not own.in_flight:
                return None
            now = self.deployed(failing, off)
            own, current = own_deployment(now, before, off, record), now.deployment
            if own is None:
                if current is not None and current.number > failed.number:
                    return current
                before = now
                made = now.newest.version if now.newest is not None and is_record_of(now.newest, record) else made
            if own is None or own.in_flight:
                self.on_event(f"{failing}: {why or 'AppConfig is still at work'}")
                self.wait(self.retry_s)

    def _off(self, off: FlagDocument, record: ChangeRecord, made: str | None, before: DeployedFlag) -> Deployment:
        # a profile holds a limited number of versions: one that was undone is deployed again
        if made is not None:
            return self.control.redeploy(made, record, since=before)
        return self.control.deploy(off, record, urgent=True, since=before)


def own_deployment(
    now: DeployedFlag, before: DeployedFlag, document: FlagDocument, record: ChangeRecord
) -> Deployment | None:
    """The deployment of this document under this record since `before`, if it is in force.

    It tells whether a change was made whose answer was lost.
    """
    current = now.deployment
    if current is None or current.number <= before.latest_number or now.document != document:
        return None
    return current if is_record_of(current, record) else None


def is_record_of(deployment: Deployment, record: ChangeRecord) -> bool:
    """Whether the deployment was made under this record."""
    return deployment.record == record.stored()
