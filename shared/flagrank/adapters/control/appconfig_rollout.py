"""AppConfig's control plane: what is deployed, and putting another document there."""

import itertools
import logging
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flagrank.adapters.aws_errors import aws_errors
from flagrank.adapters.control.appconfig_listing import deployment_of, found, items
from flagrank.adapters.control.cloudwatch_alarms import AlarmActions
from flagrank.delivery.deployments import UNDONE, DeployedFlag, Deployment, described
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument, read_document
from flagrank.flags.exposure import exposure, lowers_exposure, raises_exposure

# AppConfig.AllAtOnce bakes for ten minutes, in which the environment takes no other change
INSTANT, BAKE, BAKE_MINUTES = "flagrank-instant", "flagrank-bake", 5
POLL_S = 0.5
POLLS = 40

logger = logging.getLogger(__name__)


class AppConfigRolloutControl:
    """One flag: a profile of an application, in one environment; each named by name or id.

    `monitor` is the alarm that AppConfig watches during deployments (None where it watches none): while it rings, an
    urgent deployment would be rolled back. Raises CloudError where AWS does not answer.
    """

    def __init__(
        self, client: Any, application: str, environment: str, profile: str, monitor: AlarmActions | None = None
    ) -> None:
        self._client = client
        self._monitor = monitor
        with aws_errors():
            scope = {"ApplicationId": found(client.list_applications, application, "application")}
            environment_id = found(client.list_environments, environment, "environment", **scope)
            profile_id = found(client.list_configuration_profiles, profile, "configuration profile", **scope)
        self._environment = {**scope, "EnvironmentId": environment_id}
        self._profile = {**scope, "ConfigurationProfileId": profile_id}

    def deployed(self) -> DeployedFlag:
        """What is in force: the newest deployment of this profile that was not undone."""
        with aws_errors():
            numbers = self._numbers()
            latest = next(numbers, 0)
            newest_first = self._each(itertools.chain([latest] if latest else [], numbers))
            newest = next(newest_first, None)
            remaining = itertools.chain([newest] if newest else [], newest_first)
            standing = (entry for entry in remaining if entry.state not in UNDONE)
            current = next(standing, None)
            document, unreadable = self._read(current)
            before = next(standing, None) if current and current.in_flight else None
            return DeployedFlag(document, current, newest, latest, self._read(before)[0], unreadable)

    def deployments(self) -> Iterator[Deployment]:
        """Every deployment of this profile, whatever became of it, newest first, each read when it is asked for."""
        with aws_errors():
            yield from self._each(self._numbers())

    def history(self, limit: int) -> list[Deployment]:
        """The newest of them."""
        return list(itertools.islice(self.deployments(), limit))

    def document(self, version: str) -> FlagDocument:
        """See RolloutControl."""
        number = version.removeprefix("v")
        with aws_errors():
            if not version.isdecimal():
                for hosted in items(self._client.list_hosted_configuration_versions, **self._profile):
                    if hosted.get("VersionLabel") == version:
                        number = str(hosted["VersionNumber"])
                        break
            content = self._content(number) if number.isdecimal() else None
        if content is None:
            raise ConfigurationError(f"no version {version!r}; see `flagrank rollout history`")
        return read_document(content, version)

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
        description = described(actor, reason)
        urgent = urgent or lowers_exposure(since.document, document)
        with self._changing(since, urgent, patient=exposure(document) > 0):
            version = str(self._create_version(document, description))
            bake_minutes = BAKE_MINUTES if raises_exposure(since.document, document) else 0
            return self._start(version, description, since, bake_minutes)

    def redeploy(self, version: str, *, actor: str, reason: str, since: DeployedFlag) -> Deployment:
        """Puts a version that exists into force for everyone at once: urgent, and refused as a deploy is."""
        with self._changing(since, urgent=True, patient=True):
            return self._start(version, described(actor, reason), since, 0)

    @contextmanager
    def _changing(self, since: DeployedFlag, urgent: bool, patient: bool) -> Iterator[None]:
        busy = since.in_flight
        if busy and not urgent:
            raise RolloutRefused(busy.doing(time.time()))
        silenced = self._monitor.disabled() if urgent and self._monitor else nullcontext()
        with aws_errors(), silenced, self._refused(since):
            if busy:
                self._make_way(busy, since.must_end, patient or busy.state == "ROLLING_BACK")
            yield

    def _make_way(self, busy: Deployment, must_end: bool, patient: bool) -> None:
        if must_end and self._ended(busy):
            return
        if must_end and patient:
            raise RolloutRefused(f"exposure goes down already: {busy.doing(time.time())}")
        # refused for one that ended by itself meanwhile, and so is out of the way
        with suppress(self._client.exceptions.BadRequestException):
            # without AllowRevert AppConfig stops neither one that bakes nor one that completed meanwhile
            self._client.stop_deployment(**self._environment, DeploymentNumber=busy.number, AllowRevert=True)
        self._ended(busy)

    def _start(self, version: str, description: str, seen: DeployedFlag, bake_minutes: int) -> Deployment:
        # naming the latest deployment makes AppConfig refuse this one if another operator was faster
        latest = {"LatestDeploymentNumber": seen.latest_number} if seen.latest_number else {}
        started = self._client.start_deployment(
            **self._environment,
            ConfigurationProfileId=self._profile["ConfigurationProfileId"],
            DeploymentStrategyId=self._strategy(bake_minutes),
            ConfigurationVersion=version,
            Description=description,
            **latest,
        )
        deployment = self._arrived(deployment_of(started))
        if deployment.state in UNDONE:
            raise RolloutRefused(f"deployment {deployment.number} was undone at once: does an alarm ring?")
        return deployment

    def _create_version(self, document: FlagDocument, description: str) -> int:
        latest = self._versions()
        number: int = latest[0]["VersionNumber"] if latest else 0
        wanted = {
            **self._profile,
            "Description": _header(description),
            "Content": document.model_dump_json(by_alias=True, indent=2).encode(),
            "ContentType": "application/json",
            # naming the latest version makes AppConfig refuse this one if another operator was faster
            **({"LatestVersionNumber": number} if number else {}),
        }
        create, label = self._client.create_hosted_configuration_version, f"v{number + 1}"
        try:
            created = create(**wanted, VersionLabel=label)
        except self._client.exceptions.ConflictException:
            if latest != self._versions():
                raise
            # somebody labelled an earlier version by hand, which must not be in the way of `off`
            created = create(**wanted, VersionLabel=f"{label}-flagrank")
        created_number: int = created["VersionNumber"]
        return created_number

    def _ended(self, deployment: Deployment) -> bool:
        for _ in range(POLLS):
            if not self._get(deployment.number).in_flight:
                return True
            time.sleep(POLL_S)
        return False

    def _arrived(self, deployment: Deployment) -> Deployment:
        # one that bakes is with everyone already, and one that was started is no failure, however little is heard of it
        try:
            for _ in range(POLLS):
                if not deployment.arriving:
                    break
                time.sleep(POLL_S)
                deployment = self._get(deployment.number)
        except (BotoCoreError, ClientError) as error:
            logger.warning("deployment %s was started, and is not confirmed: %s", deployment.number, error)
        return deployment

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
        listing = self._client.list_hosted_configuration_versions
        newest: list[dict[str, Any]] = listing(**self._profile, MaxResults=1)["Items"]
        return newest

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

    def _numbers(self) -> Iterator[int]:
        # of the whole environment, since another profile's deployment is in the way as well; AppConfig lists the newest
        # first, so that nobody has to wait for the pages of years
        for entry in items(self._client.list_deployments, **self._environment, MaxResults=50):
            yield entry["DeploymentNumber"]

    def _each(self, numbers: Iterator[int]) -> Iterator[Deployment]:
        for number in numbers:
            answer = self._client.get_deployment(**self._environment, DeploymentNumber=number)
            if answer["ConfigurationProfileId"] == self._profile["ConfigurationProfileId"]:
                yield deployment_of(answer)

    def _get(self, number: int) -> Deployment:
        return deployment_of(self._client.get_deployment(**self._environment, DeploymentNumber=number))

    def _read(self, deployment: Deployment | None) -> tuple[FlagDocument | None, str | None]:
        if deployment is None:
            return None, None
        content = self._content(deployment.version)
        try:
            if content is None:
                raise ConfigurationError(f"version {deployment.name} was deleted")
            return read_document(content, deployment.name), None
        except ConfigurationError as error:
            return None, str(error)

    def _content(self, number: str) -> bytes | None:
        try:
            hosted = self._client.get_hosted_configuration_version(**self._profile, VersionNumber=int(number))
        except self._client.exceptions.ResourceNotFoundException:
            return None
        content: bytes = hosted["Content"].read()
        return content


def _header(text: str) -> str:
    # a version's description travels as an HTTP header: letters lose their accents, and the rest what ASCII lacks
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return "".join(char if " " <= char <= "~" else "?" for char in plain)[:1024].strip()
