"""AppConfig's control plane: what is deployed, and putting another document there."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.rollout import FlagDocument

STRATEGY = "flagrank-instant"
IN_FLIGHT = frozenset({"DEPLOYING", "BAKING", "VALIDATING", "ROLLING_BACK"})
UNDONE = frozenset({"ROLLED_BACK", "REVERTED"})
STOP_POLL_S = 0.5
STOP_POLLS = 40
DESCRIPTION_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a flag document."""

    number: int
    version: str
    label: str
    state: str
    description: str
    started_at: str

    @property
    def in_flight(self) -> bool:
        """Whether the environment is busy with it."""
        return self.state in IN_FLIGHT


@dataclass(frozen=True, slots=True)
class DeployedFlag:
    """The document in force with its deployment (None: nothing was ever deployed), and the newest deployment."""

    document: FlagDocument | None
    deployment: Deployment | None
    newest: Deployment | None


class FlagControl:
    """One flag: a profile of an application, in one environment; each named by name or id."""

    def __init__(self, client: Any, application: str, environment: str, profile: str) -> None:
        self._client = client
        self._application = _found(client.list_applications, application, "application")
        scope = {"ApplicationId": self._application}
        self._environment = _found(client.list_environments, environment, "environment", **scope)
        self._profile = _found(client.list_configuration_profiles, profile, "configuration profile", **scope)

    def deployed(self) -> DeployedFlag:
        """What is in force: the newest deployment of this profile that was not undone."""
        deployments = self._deployments()
        standing = next((entry for entry in deployments if entry.state not in UNDONE), None)
        document = self._document(standing.version) if standing else None
        return DeployedFlag(document, standing, deployments[0] if deployments else None)

    def deploy(self, document: FlagDocument, *, actor: str, reason: str, stop_in_flight: bool = False) -> Deployment:
        """Puts the document into force for everyone at once.

        Refused with RolloutRefused while another deployment is in flight, unless `stop_in_flight` (the kill switch),
        and when somebody else changed the flag meanwhile.
        """
        newest = self.deployed().newest
        if newest is not None and newest.in_flight:
            if not stop_in_flight:
                raise RolloutRefused(f"deployment {newest.number} is {newest.state}: {newest.description}")
            self._stop(newest)
        description = f"{actor}: {reason}"[:DESCRIPTION_CHARS]
        with _refused():
            version = self._create_version(document, description)
            started = self._client.start_deployment(
                ApplicationId=self._application,
                EnvironmentId=self._environment,
                DeploymentStrategyId=self._strategy(),
                ConfigurationProfileId=self._profile,
                ConfigurationVersion=str(version),
                Description=description,
            )
        return _deployment(started)

    def _create_version(self, document: FlagDocument, description: str) -> int:
        latest = self._client.list_hosted_configuration_versions(
            ApplicationId=self._application, ConfigurationProfileId=self._profile, MaxResults=1
        )["Items"]
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
        self._client.stop_deployment(**scope, DeploymentNumber=deployment.number)
        for _ in range(STOP_POLLS):
            if self._client.get_deployment(**scope, DeploymentNumber=deployment.number)["State"] not in IN_FLIGHT:
                return
            time.sleep(STOP_POLL_S)
        raise RolloutRefused(f"deployment {deployment.number} did not stop; look at it in the console")

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
        scope = {"ApplicationId": self._application, "EnvironmentId": self._environment}
        numbers = [entry["DeploymentNumber"] for entry in _items(self._client.list_deployments, **scope)]
        shown = []
        for number in sorted(numbers, reverse=True):
            deployment = self._client.get_deployment(**scope, DeploymentNumber=number)
            if deployment["ConfigurationProfileId"] == self._profile:
                shown.append(_deployment(deployment))
                if shown[-1].state not in UNDONE:
                    break
        return shown

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


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ConflictException", "BadRequestException"):
            raise RolloutRefused(error.response["Error"]["Message"]) from error
        raise
