"""The guard's hand on AppConfig: reads the deployments, and starts one only if nobody changed the flag since.

Not `FlagControl`: the guard knows its resources by id and may list nothing else, refuses to act on anything but what it
read, and has to keep AppConfig's own monitors from undoing it.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from pydantic import ValidationError

from flagrank.errors import RolloutRefused
from flagrank.guard import ACTOR, Lowering, Step, Steps
from flagrank.rollout import FlagDocument

IN_FLIGHT = frozenset({"DEPLOYING", "BAKING", "VALIDATING"})
UNDONE = frozenset({"ROLLING_BACK", "ROLLED_BACK", "REVERTED"})
REMEMBERED = 10
POLL_S = 0.5
POLLS = 80


class GuardedAppConfig:
    """The flag of one profile in one environment; `ids` names application, environment, profile and strategy.

    `monitor` is the alarm that AppConfig watches during deployments, None where it watches none. A deployment that
    begins under a firing monitor may be rolled back, and exposure would rise: so its actions are disabled for as long,
    which AppConfig heeds (https://docs.aws.amazon.com/appconfig/latest/userguide/monitoring-deployments.html).
    """

    def __init__(self, appconfig: Any, cloudwatch: Any, ids: Mapping[str, str], monitor: str | None) -> None:
        self._appconfig = appconfig
        self._cloudwatch = cloudwatch
        self._monitor = monitor
        self._strategy = ids["strategy"]
        self._environment = {"ApplicationId": ids["application"], "EnvironmentId": ids["environment"]}
        self._profile = {"ApplicationId": ids["application"], "ConfigurationProfileId": ids["profile"]}

    def steps(self) -> Steps:
        """The last deployments that stand, as far back as this code can read their documents, and the undone."""
        versions = self._appconfig.list_hosted_configuration_versions(**self._profile, MaxResults=1)["Items"]
        deployments = self._appconfig.list_deployments(**self._environment, MaxResults=50)["Items"]
        numbers = sorted((entry["DeploymentNumber"] for entry in deployments), reverse=True)
        standing: list[Step] = []
        undone: list[Step] = []
        for number in numbers:
            deployment = self._appconfig.get_deployment(**self._environment, DeploymentNumber=number)
            if deployment["ConfigurationProfileId"] != self._profile["ConfigurationProfileId"]:
                continue
            if deployment["State"] not in UNDONE:
                try:
                    standing.append(self._step(deployment))
                except ValidationError:
                    if not standing:
                        raise
                    break  # a document of another release says nothing about this one's
            elif not standing:
                undone.append(self._step(deployment))
            if len(standing) == REMEMBERED:
                break
        latest_version = versions[0]["VersionNumber"] if versions else 0
        return Steps(standing, undone, numbers[0] if numbers else 0, latest_version)

    def lower(self, lowering: Lowering, since: Steps) -> None:
        """Deploys to everyone at once; raises RolloutRefused if the flag changed, or a deployment would not end."""
        with _refused():
            version = self._appconfig.create_hosted_configuration_version(
                **self._profile,
                Description=lowering.description,
                Content=lowering.document.model_dump_json(by_alias=True, indent=2).encode(),
                ContentType="application/json",
                LatestVersionNumber=since.latest_version,
                VersionLabel=f"v{since.latest_version + 1}",
            )["VersionNumber"]
            with self._without_monitor():
                self._replace(version, lowering, since)

    def rearm(self) -> None:
        """Enables the monitor's actions again, unless a deployment of the guard's own is still in flight."""
        if self._monitor is None:
            return
        deployments = self._appconfig.list_deployments(**self._environment, MaxResults=1)["Items"]
        if deployments:
            number = max(entry["DeploymentNumber"] for entry in deployments)
            newest = self._appconfig.get_deployment(**self._environment, DeploymentNumber=number)
            if newest["State"] in IN_FLIGHT and newest.get("Description", "").startswith(f"{ACTOR}:"):
                return
        self._cloudwatch.enable_alarm_actions(AlarmNames=[self._monitor])

    def _replace(self, version: int, lowering: Lowering, since: Steps) -> None:
        if lowering.stop is not None:
            # without AllowRevert AppConfig stops neither one that bakes nor one that completed meanwhile
            self._appconfig.stop_deployment(**self._environment, DeploymentNumber=lowering.stop, AllowRevert=True)
            self._settled(lowering.stop)
        started = self._appconfig.start_deployment(
            **self._environment,
            ConfigurationProfileId=self._profile["ConfigurationProfileId"],
            DeploymentStrategyId=self._strategy,
            ConfigurationVersion=str(version),
            Description=lowering.description,
            LatestDeploymentNumber=since.latest_deployment,
        )["DeploymentNumber"]
        if self._settled(started) in UNDONE:
            raise RolloutRefused(f"deployment {started} was undone by somebody else")

    def _step(self, deployment: Mapping[str, Any]) -> Step:
        hosted = self._appconfig.get_hosted_configuration_version(
            **self._profile, VersionNumber=int(deployment["ConfigurationVersion"])
        )
        return Step(
            number=deployment["DeploymentNumber"],
            document=FlagDocument.model_validate_json(hosted["Content"].read()),
            started_at=deployment["StartedAt"],
            ended_at=deployment.get("CompletedAt"),
            in_flight=deployment["State"] in IN_FLIGHT,
            description=deployment.get("Description") or "",
        )

    def _settled(self, number: int) -> str:
        for _ in range(POLLS):
            deployment = self._appconfig.get_deployment(**self._environment, DeploymentNumber=number)
            state: str = deployment["State"]
            if state not in IN_FLIGHT | {"ROLLING_BACK"}:
                return state
            time.sleep(POLL_S)
        raise RolloutRefused(f"deployment {number} did not end within {POLLS * POLL_S:g} s")

    @contextmanager
    def _without_monitor(self) -> Iterator[None]:
        if self._monitor is None:
            yield
            return
        self._cloudwatch.disable_alarm_actions(AlarmNames=[self._monitor])
        try:
            yield
        finally:
            self.rearm()


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ConflictException", "BadRequestException"):
            raise RolloutRefused(error.response["Error"]["Message"]) from error
        raise
