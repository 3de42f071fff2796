"""AppConfig's control plane: puts another document or version of a flag into force."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from flagrank.adapters.aws_errors import aws_errors
from flagrank.adapters.control.appconfig_deployments import (
    OPERATOR_PATIENCE,
    AppConfigDeployments,
    Patience,
    deployment_of,
    find_flag,
)
from flagrank.adapters.control.appconfig_versions import FlagIds, items
from flagrank.adapters.control.cloudwatch_alarms import AlarmActions
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment
from flagrank.errors import CloudError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure, lowers_exposure, raises_exposure

# AppConfig.AllAtOnce bakes for ten minutes, in which the environment takes no other change
INSTANT, BAKE, BAKE_MINUTES = "flagrank-instant", "flagrank-bake", 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    record: ChangeRecord
    since: DeployedFlag
    bake_minutes: int
    is_urgent: bool


class AppConfigRolloutControl(AppConfigDeployments):
    """One flag in AppConfig, as an operator or the guard changes it.

    `strategy` is the id of the deployment strategy to use. Without it Flagrank's own two are found by name, or created.
    `monitor` is the alarm that AppConfig watches during deployments. While it fires, AppConfig would roll back what
    lowers exposure as well, so its actions are disabled during urgent changes, which AppConfig heeds
    (https://docs.aws.amazon.com/appconfig/latest/userguide/monitoring-deployments.html).
    Raises CloudError if AWS does not answer.
    """

    def __init__(
        self,
        client: Any,
        ids: FlagIds,
        patience: Patience = OPERATOR_PATIENCE,
        *,
        strategy: str | None = None,
        monitor: AlarmActions | None = None,
    ) -> None:
        super().__init__(client, ids, patience)
        self._strategy_id = strategy
        self._monitor = monitor

    @classmethod
    def named(
        cls, client: Any, application: str, environment: str, profile: str, monitor: AlarmActions | None = None
    ) -> Self:
        """The control of a flag whose parts are given by name or id. See `find_flag`."""
        return cls(client, find_flag(client, application, environment, profile), monitor=monitor)

    def deploy(
        self, document: FlagDocument, record: ChangeRecord, *, urgent: bool = False, since: DeployedFlag | None = None
    ) -> Deployment:
        """See RolloutControl."""
        since = since or self.deployed()
        is_urgent = urgent or lowers_exposure(since.document, document)
        bake_minutes = BAKE_MINUTES if raises_exposure(since.document, document) else 0
        change = _Change(record, since, bake_minutes, is_urgent)
        with self._refusals(since):
            in_the_way = self._in_the_way(change, may_stop_lowering=exposure(document) == 0)
            version = self._versions.create(document, record, since.latest_version)
            return self._replace(version, change, in_the_way)

    def redeploy(self, version: str, record: ChangeRecord, *, since: DeployedFlag) -> Deployment:
        """See RolloutControl."""
        change = _Change(record, since, bake_minutes=0, is_urgent=True)
        with self._refusals(since):
            return self._replace(version, change, self._in_the_way(change, may_stop_lowering=False))

    def rearm(self) -> None:
        """Enables the monitor's actions, unless a deployment in flight lowers exposure, whoever began it.

        A monitor that fires would roll that back. The guard enables the actions at its next event, minutes later.
        """
        with aws_errors():
            if self._monitor is None or self._must_go_unwatched():
                return
            self._monitor.enable()
            if self._must_go_unwatched():  # somebody began in between
                self._monitor.disable()

    def _must_go_unwatched(self) -> bool:
        return self._is_environment_busy() and self.deployed().must_end

    def _in_the_way(self, change: _Change, may_stop_lowering: bool) -> Deployment | None:
        """The deployment to stop first, if any; raises RolloutRefused if the change has to wait for it."""
        since, clock = change.since, self._patience.clock
        if clock.monotonic() > self._until_s:
            raise RolloutRefused("no time is left for another change")
        if since.in_flight and not change.is_urgent:
            raise RolloutRefused(since.in_flight.progress(clock.now()))
        if change.is_urgent and since.latest_number > (since.newest.number if since.newest else 0):
            # another profile's deployment may keep the environment busy, and is not ours to stop
            self._wait_while_in_flight(self._get(since.latest_number))
        if since.in_flight is None or not since.must_end:
            return since.in_flight
        busy = self._wait_while_in_flight(since.in_flight)
        if busy.in_flight and not (may_stop_lowering and since.is_lowering):
            raise RolloutRefused(f"exposure goes down already: {busy.progress(clock.now())}")
        return busy if busy.in_flight else None

    def _replace(self, version: str, change: _Change, in_the_way: Deployment | None) -> Deployment:
        monitor = self._monitor if change.is_urgent else None
        if monitor:
            monitor.disable()
        try:
            if in_the_way:
                self._stop(in_the_way)
            deployment = self._arrived(self._start(version, change))
        finally:
            if monitor:
                self._rearm_if_possible()
        if deployment.is_undone:
            raise RolloutRefused(f"deployment {deployment.number} was undone at once: does an alarm fire?")
        return deployment

    def _stop(self, busy: Deployment) -> None:
        # refused for one that ended by itself meanwhile, which is then out of the way
        with suppress(self._client.exceptions.BadRequestException):
            # without AllowRevert AppConfig stops neither one that bakes nor one that completed meanwhile
            self._client.stop_deployment(**self._ids.of_environment, DeploymentNumber=busy.number, AllowRevert=True)
        self._wait_while_in_flight(self._get(busy.number))

    def _start(self, version: str, change: _Change) -> Deployment:
        # naming the latest deployment makes AppConfig refuse this one if somebody else was faster
        latest = change.since.latest_number
        started = self._client.start_deployment(
            **self._ids.of_environment,
            ConfigurationProfileId=self._ids.profile,
            DeploymentStrategyId=self._strategy_id or self._strategy(change.bake_minutes),
            ConfigurationVersion=version,
            Description=change.record.render(),
            **({"LatestDeploymentNumber": latest} if latest else {}),
        )
        if change.is_urgent and self._monitor:
            # once more: somebody who enabled the actions in between did not see this deployment yet
            self._monitor.disable()
        return deployment_of(started)

    def _arrived(self, started: Deployment) -> Deployment:
        # it is no failure if AppConfig does not answer any more: the deployment was started
        try:
            return self._wait_while(started, lambda deployment: deployment.is_arriving)
        except (BotoCoreError, ClientError) as error:
            logger.warning("deployment %s was started, and is not confirmed: %s", started.number, error)
            return started

    def _rearm_if_possible(self) -> None:
        # the change was made all the same, and the guard enables the monitor's actions at its next event
        try:
            self.rearm()
        except CloudError as error:
            logger.warning("the actions of AppConfig's monitor stay disabled for now: %s", error)

    @contextmanager
    def _refusals(self, since: DeployedFlag) -> Iterator[None]:
        """Turns AppConfig's refusals into RolloutRefused, and AWS's other failures into CloudError."""
        with aws_errors():
            try:
                yield
            except ClientError as error:
                code, why = error.response["Error"]["Code"], error.response["Error"]["Message"]
                if code not in ("ConflictException", "BadRequestException"):
                    raise
                newest = self.deployed().newest
                if newest is not None and newest.number > since.latest_number:
                    first = f"deployment {newest.number} came first: {newest.record.render()}"
                    why = f"{first}; read the flag again before you repeat"
                elif code == "ConflictException" and error.operation_name == "CreateHostedConfigurationVersion":
                    why = f"somebody is changing the flag just now: {self._versions.latest_description()}"
                raise RolloutRefused(why) from error

    def _strategy(self, bake_minutes: int) -> str:
        name = BAKE if bake_minutes else INSTANT
        for strategy in items(self._client.list_deployment_strategies):
            if strategy["Name"] == name:
                strategy_id: str = strategy["Id"]
                return strategy_id
        created = self._client.create_deployment_strategy(
            Name=name,
            DeploymentDurationInMinutes=0,
            FinalBakeTimeInMinutes=bake_minutes,
            GrowthFactor=100.0,
            ReplicateTo="NONE",
        )
        created_id: str = created["Id"]
        return created_id
