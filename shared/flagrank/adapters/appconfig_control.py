"""AppConfig's control plane: what is deployed, and putting another document there."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from botocore.exceptions import ClientError

from flagrank.adapters.aws_errors import aws_errors
from flagrank.adapters.cloudwatch_alarms import AlarmActions
from flagrank.deployments import UNDONE, DeployedFlag, Deployment
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.rollout import FlagDocument

STRATEGY = "flagrank-instant"
POLL_S = 0.5
POLLS = 40
DESCRIPTION_CHARS = 1024


class FlagControl:
    """One flag: a profile of an application, in one environment; each named by name or id.

    `monitor` is the alarm that AppConfig watches during deployments (None where it watches none): while it rings, an
    urgent deployment would be rolled back. Raises CloudError where AWS does not answer.
    """

    def __init__(
        self, client: Any, application: str, environment: str, profile: str, monitor: AlarmActions | None = None
    ) -> None:
        self._client = client
        self._monitor = monitor
        self._latest_number = 0
        with aws_errors():
            self._application = _found(client.list_applications, application, "application")
            scope = {"ApplicationId": self._application}
            self._environment = _found(client.list_environments, environment, "environment", **scope)
            self._profile = _found(client.list_configuration_profiles, profile, "configuration profile", **scope)

    def deployed(self) -> DeployedFlag:
        """What is in force: the newest deployment of this profile that was not undone."""
        with aws_errors():
            deployments = self._deployments()
            standing = next((entry for entry in deployments if entry.state not in UNDONE), None)
            document = self._document(standing.version) if standing else None
            return DeployedFlag(document, standing, deployments[0] if deployments else None, self._latest_number)

    def history(self, limit: int) -> list[Deployment]:
        """The newest deployments of this profile, whatever became of them, newest first."""
        with aws_errors():
            return list(itertools.islice(self._each_deployment(), limit))

    def document(self, version: str) -> FlagDocument:
        """The document of a version, by number or label (`v3`); raises ConfigurationError if there is none."""
        number = version.removeprefix("v")
        with aws_errors():
            for hosted in _items(
                self._client.list_hosted_configuration_versions,
                ApplicationId=self._application,
                ConfigurationProfileId=self._profile,
            ):
                if version == hosted.get("VersionLabel") or number == str(hosted["VersionNumber"]):
                    return self._document(str(hosted["VersionNumber"]))
        raise ConfigurationError(f"no version {version!r}; see `flagrank rollout history`")

    def deploy(
        self,
        document: FlagDocument,
        *,
        actor: str,
        reason: str,
        urgent: bool = False,
        since: DeployedFlag | None = None,
    ) -> Deployment:
        """See RolloutControl; without `since` what is in force is read now."""
        since = since or self.deployed()
        description = f"{actor}: {reason}"[:DESCRIPTION_CHARS]
        with self._changing(since, urgent):
            return self._start(str(self._create_version(document, description)), description, since)

    def redeploy(self, version: str, *, actor: str, reason: str, since: DeployedFlag) -> Deployment:
        """Puts a version that exists into force for everyone at once: urgent, and refused as a deploy is."""
        with self._changing(since, urgent=True):
            return self._start(version, f"{actor}: {reason}"[:DESCRIPTION_CHARS], since)

    @contextmanager
    def _changing(self, since: DeployedFlag, urgent: bool) -> Iterator[None]:
        busy = since.in_flight
        if busy and not urgent:
            raise RolloutRefused(f"deployment {busy.number} is {busy.state}: {busy.description}")
        silenced = self._monitor.disabled() if urgent and self._monitor else nullcontext()
        with aws_errors(), silenced, self._refused(since):
            if busy:
                self._stop(busy)
            yield

    def _start(self, version: str, description: str, seen: DeployedFlag) -> Deployment:
        # naming the latest deployment makes AppConfig refuse this one if another operator was faster
        latest = {"LatestDeploymentNumber": seen.latest_number} if seen.latest_number else {}
        started = self._client.start_deployment(
            ApplicationId=self._application,
            EnvironmentId=self._environment,
            DeploymentStrategyId=self._strategy(),
            ConfigurationProfileId=self._profile,
            ConfigurationVersion=version,
            Description=description,
            **latest,
        )
        deployment = self._settled(started["DeploymentNumber"])
        if deployment.state in UNDONE:
            raise RolloutRefused(f"deployment {deployment.number} was undone at once: does an alarm ring?")
        return deployment

    def _create_version(self, document: FlagDocument, description: str) -> int:
        latest = self._versions()
        number: int = latest[0]["VersionNumber"] if latest else 0
        # naming the latest version makes AppConfig refuse this one if another operator was faster
        created = self._client.create_hosted_configuration_version(
            ApplicationId=self._application,
            ConfigurationProfileId=self._profile,
            Description=description,
            Content=document.model_dump_json(by_alias=True, indent=2).encode(),
            ContentType="application/json",
            VersionLabel=f"v{number + 1}",
            **({"LatestVersionNumber": number} if number else {}),
        )
        created_number: int = created["VersionNumber"]
        return created_number

    def _stop(self, deployment: Deployment) -> None:
        scope = {"ApplicationId": self._application, "EnvironmentId": self._environment}
        # without AllowRevert AppConfig stops neither one that bakes nor one that completed meanwhile
        self._client.stop_deployment(**scope, DeploymentNumber=deployment.number, AllowRevert=True)
        self._settled(deployment.number)

    def _settled(self, number: int) -> Deployment:
        scope = {"ApplicationId": self._application, "EnvironmentId": self._environment}
        for _ in range(POLLS):
            deployment = _deployment(self._client.get_deployment(**scope, DeploymentNumber=number))
            if not deployment.in_flight:
                return deployment
            time.sleep(POLL_S)
        raise RolloutRefused(f"deployment {number} is still not done after {POLLS * POLL_S:g} s; see the console")

    @contextmanager
    def _refused(self, seen: DeployedFlag) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ConflictException", "BadRequestException"):
                raise
            newest = self.deployed().newest
            if newest is not None and newest.number > seen.latest_number:
                told = f"deployment {newest.number} came first: {newest.description}; look again before you repeat"
            elif error.operation_name == "CreateHostedConfigurationVersion" and self._versions():
                told = f"somebody is changing the flag just now: {self._versions()[0].get('Description')}"
            else:
                told = error.response["Error"]["Message"]
            raise RolloutRefused(told) from error

    def _versions(self) -> list[dict[str, Any]]:
        newest: list[dict[str, Any]] = self._client.list_hosted_configuration_versions(
            ApplicationId=self._application, ConfigurationProfileId=self._profile, MaxResults=1
        )["Items"]
        return newest

    def _strategy(self) -> str:
        for strategy in _items(self._client.list_deployment_strategies):
            if strategy["Name"] == STRATEGY:
                strategy_id: str = strategy["Id"]
                return strategy_id
        # AppConfig.AllAtOnce bakes for ten minutes, in which the environment takes no other change
        created = self._client.create_deployment_strategy(
            Name=STRATEGY,
            DeploymentDurationInMinutes=0,
            FinalBakeTimeInMinutes=0,
            GrowthFactor=100.0,
            ReplicateTo="NONE",
        )
        created_id: str = created["Id"]
        return created_id

    def _deployments(self) -> list[Deployment]:
        shown = []
        for deployment in self._each_deployment():
            shown.append(deployment)
            if deployment.state not in UNDONE:
                break
        return shown

    def _each_deployment(self) -> Iterator[Deployment]:
        scope = {"ApplicationId": self._application, "EnvironmentId": self._environment}
        numbers = [entry["DeploymentNumber"] for entry in _items(self._client.list_deployments, **scope)]
        # of the whole environment: another profile's deployment is in the way as well
        self._latest_number = max(numbers, default=0)
        for number in sorted(numbers, reverse=True):
            deployment = self._client.get_deployment(**scope, DeploymentNumber=number)
            if deployment["ConfigurationProfileId"] == self._profile:
                yield _deployment(deployment)

    def _document(self, version: str) -> FlagDocument:
        hosted = self._client.get_hosted_configuration_version(
            ApplicationId=self._application, ConfigurationProfileId=self._profile, VersionNumber=int(version)
        )
        return FlagDocument.model_validate_json(hosted["Content"].read())


def _deployment(answer: dict[str, Any]) -> Deployment:
    return Deployment(
        number=answer["DeploymentNumber"],
        version=answer["ConfigurationVersion"],
        label=answer.get("VersionLabel") or "",
        state=answer["State"],
        description=answer.get("Description") or "",
        started_at=answer["StartedAt"].isoformat(timespec="seconds"),
    )


def _found(listing: Any, identifier: str, what: str, **scope: str) -> str:
    for entry in _items(listing, **scope):
        if identifier in (entry["Id"], entry["Name"]):
            found: str = entry["Id"]
            return found
    raise ConfigurationError(f"AppConfig has no {what} {identifier!r} here; look at account, region and names")


def _items(listing: Any, **scope: str) -> Iterator[dict[str, Any]]:
    token: dict[str, str] = {}
    while True:
        page = listing(**scope, **token)
        yield from page["Items"]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}
