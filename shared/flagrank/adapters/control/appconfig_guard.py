"""The guard's hand on AppConfig: reads the deployments, and starts one only if nobody changed the flag since.

Not `AppConfigRolloutControl`: the guard knows its resources by id and may list nothing else, refuses to act on anything
but what it read, and has to keep AppConfig's own monitors from undoing it.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from pydantic import ValidationError

from flagrank.delivery.guard import ExposureReduction, Step, Steps, is_lowering
from flagrank.errors import RolloutRefused
from flagrank.flags.document import FlagDocument

IN_FLIGHT = frozenset({"DEPLOYING", "BAKING", "VALIDATING"})
UNDONE = frozenset({"ROLLING_BACK", "ROLLED_BACK", "REVERTED"})
REMEMBERED = 10
POLL_S = 0.5
POLLS = 80
# of the 300 s that the function has (template.yaml), for one event; the rest is for calls that AWS answers late
PATIENCE_S = 180.0
DESCRIPTION_CHARS = 1024


class GuardedAppConfig:
    """The flag of one profile in one environment; `ids` names application, environment, profile and strategy.

    Made for one event: after `patience_s` it begins no change and waits for none. `monitor` is the alarm that AppConfig
    watches during deployments, None where it watches none. A deployment that begins under a firing monitor may be
    rolled back, and exposure would rise: so its actions are disabled for as long, which AppConfig heeds
    (https://docs.aws.amazon.com/appconfig/latest/userguide/monitoring-deployments.html).
    """

    def __init__(
        self,
        appconfig: Any,
        cloudwatch: Any,
        ids: Mapping[str, str],
        monitor: str | None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._until_s = time.monotonic() + patience_s
        self._appconfig = appconfig
        self._cloudwatch = cloudwatch
        self._monitor = monitor
        self._strategy = ids["strategy"]
        self._environment = {"ApplicationId": ids["application"], "EnvironmentId": ids["environment"]}
        self._profile = {"ApplicationId": ids["application"], "ConfigurationProfileId": ids["profile"]}

    def steps(self) -> Steps:
        """The last deployments that stand, and the undone among them; what cannot be read is among both."""
        deployments = self._appconfig.list_deployments(**self._environment, MaxResults=50)["Items"]
        numbers = sorted((entry["DeploymentNumber"] for entry in deployments), reverse=True)
        standing: list[Step] = []
        undone: list[Step] = []
        for number in numbers:
            deployment = self._appconfig.get_deployment(**self._environment, DeploymentNumber=number)
            if deployment["ConfigurationProfileId"] == self._profile["ConfigurationProfileId"]:
                (undone if deployment["State"] in UNDONE else standing).append(self._step(deployment))
            if len(standing) == REMEMBERED:
                break
        return Steps(standing, undone, numbers[0] if numbers else 0, self._latest_version())

    def lower(self, lowering: ExposureReduction, since: Steps) -> None:
        """Deploys to everyone at once; raises RolloutRefused if the flag changed, or a deployment would not end."""
        self._check_patience()
        with _refused():
            version = self._appconfig.create_hosted_configuration_version(
                **self._profile,
                Description=_ascii(lowering.description),
                Content=lowering.document.model_dump_json(by_alias=True, indent=2).encode(),
                ContentType="application/json",
                LatestVersionNumber=since.latest_version,
                VersionLabel=f"v{since.latest_version + 1}-guard",
            )["VersionNumber"]
            with self._without_monitor():
                self._replace(version, lowering, since)

    def rearm(self) -> None:
        """Enables the monitor's actions again, unless a deployment that lowers exposure is in flight, whoever began it.

        It would be rolled back under an alarm that still rings. What is rolled back may make room for one. The event or
        the look after that enables them.
        """
        if self._monitor is None or self._needs_blindness():
            return
        self._cloudwatch.enable_alarm_actions(AlarmNames=[self._monitor])
        if self._needs_blindness():  # somebody began in between
            self._blind()

    def _needs_blindness(self) -> bool:
        newest = self._appconfig.list_deployments(**self._environment, MaxResults=1)["Items"]
        state = newest[0]["State"] if newest else ""
        return state == "ROLLING_BACK" or (state in IN_FLIGHT and is_lowering(self.steps()))

    def _blind(self) -> None:
        if self._monitor is not None:
            self._cloudwatch.disable_alarm_actions(AlarmNames=[self._monitor])

    def _latest_version(self) -> int:
        # all pages, since AWS names no order; a profile holds few versions
        pages = self._appconfig.get_paginator("list_hosted_configuration_versions").paginate(**self._profile)
        return max((version["VersionNumber"] for page in pages for version in page["Items"]), default=0)

    def _replace(self, version: int, lowering: ExposureReduction, since: Steps) -> None:
        if lowering.stop is not None:
            # without AllowRevert AppConfig stops neither one that bakes nor one that completed meanwhile
            self._appconfig.stop_deployment(**self._environment, DeploymentNumber=lowering.stop, AllowRevert=True)
        if since.latest_deployment:
            # also where AppConfig's monitor rolls it back: the environment takes no other meanwhile
            self._settled(since.latest_deployment)
        started = self._appconfig.start_deployment(
            **self._environment,
            ConfigurationProfileId=self._profile["ConfigurationProfileId"],
            DeploymentStrategyId=self._strategy,
            ConfigurationVersion=str(version),
            Description=_ascii(lowering.description),
            LatestDeploymentNumber=since.latest_deployment,
        )["DeploymentNumber"]
        # once more: the end of another event may have enabled them before this deployment was to be seen
        self._blind()
        if self._settled(started) in UNDONE:
            raise RolloutRefused(f"deployment {started} was undone by somebody else")

    def _step(self, deployment: Mapping[str, Any]) -> Step:
        document, problem = self._document(deployment["ConfigurationVersion"])
        return Step(
            number=deployment["DeploymentNumber"],
            document=document,
            started_at=deployment["StartedAt"],
            ended_at=deployment.get("CompletedAt"),
            in_flight=deployment["State"] in IN_FLIGHT,
            description=deployment.get("Description") or "",
            problem=problem,
        )

    def _document(self, version: str) -> tuple[FlagDocument | None, str]:
        """The document of a version, or None and why it cannot be read."""
        try:
            hosted = self._appconfig.get_hosted_configuration_version(**self._profile, VersionNumber=int(version))
            return FlagDocument.model_validate_json(hosted["Content"].read()), ""
        except ValidationError as error:
            first = error.errors()[0]
            return None, f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        except self._appconfig.exceptions.ResourceNotFoundException:
            return None, f"version {version} is gone"

    def _settled(self, number: int) -> str:
        for _ in range(POLLS):
            self._check_patience()
            deployment = self._appconfig.get_deployment(**self._environment, DeploymentNumber=number)
            state: str = deployment["State"]
            if state not in IN_FLIGHT | {"ROLLING_BACK"}:
                return state
            time.sleep(POLL_S)
        raise RolloutRefused(f"deployment {number} did not end within {POLLS * POLL_S:g} s")

    def _check_patience(self) -> None:
        if time.monotonic() > self._until_s:
            raise RolloutRefused("the guard's time is up; it is told again")

    @contextmanager
    def _without_monitor(self) -> Iterator[None]:
        self._blind()
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


def _ascii(description: str) -> str:
    # AppConfig takes nothing else, https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/
    return description.encode("ascii", "replace").decode()[:DESCRIPTION_CHARS]
