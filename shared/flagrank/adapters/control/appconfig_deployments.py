"""One flag's deployments, as AppConfig's control plane has them: found, listed, read and waited for."""

import datetime as dt
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flagrank.adapters.aws_errors import aws_errors
from flagrank.adapters.control.appconfig_versions import PAGE, AppConfigVersions, FlagIds, items
from flagrank.adapters.system_clock import SystemClock
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import IN_FLIGHT, DeployedFlag, Deployment, deployed_flag
from flagrank.errors import ConfigurationError
from flagrank.flags.document import FlagDocument
from flagrank.ports import Clock

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one wait for a deployment lasts, and all work together, in seconds; `sleep` is how to wait."""

    each_s: float = 20.0
    total_s: float = math.inf
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep


OPERATOR_PATIENCE = Patience()
# the guard's function has 300 s (template.yaml), and AWS may answer its last calls late
GUARD_PATIENCE = Patience(each_s=40.0, total_s=180.0)


class AppConfigDeployments:
    """The reading half of a RolloutControl. It lists the deployments and versions of one flag, and nothing else.

    Raises CloudError if AWS does not answer.
    """

    def __init__(self, client: Any, ids: FlagIds, patience: Patience = OPERATOR_PATIENCE) -> None:
        self._client = client
        self._ids = ids
        self._versions = AppConfigVersions(client, ids)
        self._patience = patience
        self._until_s = patience.clock.monotonic() + patience.total_s

    def deployed(self) -> DeployedFlag:
        """See RolloutControl."""
        with aws_errors():
            # before the deployments: a version that is made in between has the change refused early
            latest_version = self._versions.latest()
            numbers = self._numbers()
            latest = list(itertools.islice(numbers, 1))
            newest_first = self._each(itertools.chain(latest, numbers))
            return deployed_flag(newest_first, self._versions.document, latest[0] if latest else 0, latest_version)

    def deployments(self) -> Iterator[Deployment]:
        """See RolloutControl."""
        with aws_errors():
            yield from self._each(self._numbers())

    def history(self, limit: int) -> list[Deployment]:
        """See RolloutControl."""
        return list(itertools.islice(self.deployments(), limit))

    def document(self, version: str) -> FlagDocument:
        """See RolloutControl."""
        with aws_errors():
            return self._versions.document(version)

    def _numbers(self) -> Iterator[int]:
        # of every profile, since another profile's deployment keeps the environment busy as well; AppConfig lists the
        # newest first (https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/API_ListDeployments.html)
        for entry in items(self._client.list_deployments, **self._ids.of_environment, MaxResults=PAGE):
            yield entry["DeploymentNumber"]

    def _each(self, numbers: Iterator[int]) -> Iterator[Deployment]:
        for number in numbers:
            answer = self._describe(number)
            if answer["ConfigurationProfileId"] == self._ids.profile:
                yield deployment_of(answer)

    def _get(self, number: int) -> Deployment:
        return deployment_of(self._describe(number))

    def _describe(self, number: int) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.get_deployment(**self._ids.of_environment, DeploymentNumber=number)
        return answer

    def _is_environment_busy(self) -> bool:
        newest = next(items(self._client.list_deployments, **self._ids.of_environment, MaxResults=1), None)
        return newest is not None and newest["State"] in IN_FLIGHT

    def _wait_while_in_flight(self, deployment: Deployment) -> Deployment:
        return self._wait_while(deployment, lambda seen: seen.in_flight)

    def _wait_while(self, deployment: Deployment, is_busy: Callable[[Deployment], bool]) -> Deployment:
        """The deployment as it is once it is no longer busy, or when patience ends."""
        patience = self._patience
        until_s = min(patience.clock.monotonic() + patience.each_s, self._until_s)
        while is_busy(deployment) and patience.clock.monotonic() < until_s:
            patience.sleep(POLL_S)
            deployment = self._get(deployment.number)
        return deployment


def find_flag(client: Any, application: str, environment: str, profile: str) -> FlagIds:
    """The ids of a flag, each part given by name or id.

    Raises ConfigurationError if AppConfig has no such part, and CloudError if AWS does not answer.
    """
    with aws_errors():
        application_id = _find(client.list_applications, application, "application")
        scope = {"ApplicationId": application_id}
        environment_id = _find(client.list_environments, environment, "environment", **scope)
        profile_id = _find(client.list_configuration_profiles, profile, "configuration profile", **scope)
    return FlagIds(application_id, environment_id, profile_id)


def deployment_of(answer: dict[str, Any]) -> Deployment:
    """A deployment as AppConfig describes it."""
    minutes = answer["DeploymentDurationInMinutes"] + answer["FinalBakeTimeInMinutes"]
    return Deployment(
        number=answer["DeploymentNumber"],
        version=answer["ConfigurationVersion"],
        label=answer.get("VersionLabel") or "",
        state=answer["State"],
        record=ChangeRecord.parse(answer.get("Description") or ""),
        started_at=answer["StartedAt"],
        ends_at=answer["StartedAt"] + dt.timedelta(minutes=minutes),
        ended_at=answer.get("CompletedAt"),
    )


def _find(listing: Any, identifier: str, what: str, **scope: str) -> str:
    for entry in items(listing, **scope):
        if identifier in (entry["Id"], entry["Name"]):
            entry_id: str = entry["Id"]
            return entry_id
    raise ConfigurationError(f"AppConfig has no {what} {identifier!r} here; look at account, region and names")
