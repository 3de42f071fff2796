"""The AppConfig stand-in without its wire: a client in the same process, for tests that make a million calls."""

import datetime as dt
import io
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from flagrank.adapters.control.appconfig_versions import FlagIds
from flagrank.flags.document import FlagDocument
from flagrank.local.appconfig_deployments import Pace
from flagrank.local.appconfig_state import AppConfigState
from flagrank.local.rest_json import ServiceError
from flagrank.ports import Clock

MONITOR = "flagrank-FlagMonitor"
# what is served where nothing was deployed treats nobody
NOTHING = FlagDocument().model_dump_json().encode()
EXCEPTIONS = {
    name: type(name, (ClientError,), {})
    for name in ("BadRequestException", "ConflictException", "ResourceNotFoundException")
}
LISTINGS = {
    "list_applications": "applications",
    "list_environments": "environments",
    "list_configuration_profiles": "profiles",
    "list_deployment_strategies": "strategies",
}


class InProcessAppConfig:
    """An account with one flag; `lock` is held during each call. `pace` says how long minutes and rollbacks last."""

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.state = AppConfigState(clock, pace)
        application = self.state.create_application({"Name": "flagrank"})["Id"]
        environment = self.state.create_environment(application, {"Name": "test", "Monitors": [{"AlarmArn": MONITOR}]})
        profile = self.state.create_profile(application, {"Name": "rerank", "LocationUri": "hosted"})
        self.ids = FlagIds(application, environment["Id"], profile["Id"])

    def strategy(self, name: str, minutes: float, bake_minutes: float) -> str:
        """The id of a new deployment strategy, which gives everyone the document at once."""
        body = {
            "Name": name,
            "DeploymentDurationInMinutes": minutes,
            "GrowthFactor": 100.0,
            "FinalBakeTimeInMinutes": bake_minutes,
        }
        strategy_id: str = self.state.create_strategy(body)["Id"]
        return strategy_id

    def look(self) -> None:
        """AppConfig looks at its monitor, and rolls back what is in flight while it fires."""
        self.state.deployments_of(self.ids.application, self.ids.environment)

    def served(self) -> bytes:
        """The content that pollers get, which treats nobody if nothing was deployed."""
        deployments = self.state.deployments[self.ids.application, self.ids.environment]
        try:
            number = deployments.served(self.ids.profile)
        except ServiceError:
            return NOTHING
        content: bytes = self.state.versions[self.ids.application, self.ids.profile][number - 1]["Content"]
        return content


class InProcessClient:
    """boto3's `appconfig` and `cloudwatch` clients of one caller, as far as Flagrank uses them.

    `call` makes each call: it gets the operation's name, and a function that does the work.
    """

    exceptions = SimpleNamespace(**EXCEPTIONS)

    def __init__(self, account: InProcessAppConfig, call: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._account = account
        self._state = account.state
        self._call = call

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """An operation under its name in boto3."""
        act = self._listing(LISTINGS[operation]) if operation in LISTINGS else getattr(self, f"_{operation}")

        def call(**parameters: Any) -> Any:
            try:
                return self._call(operation, lambda: act(**parameters))
            except ServiceError as error:
                answer = {"Error": {"Code": error.name, "Message": str(error)}}
                name = re.sub(r"(?:^|_)([a-z])", lambda letter: letter[1].upper(), operation)
                raise EXCEPTIONS[error.name](answer, name) from None

        return call

    def _listing(self, table: str) -> Callable[..., Any]:
        return lambda **_: {"Items": list(getattr(self._state, table).values())}

    def _list_deployments(self, MaxResults: int, **ids: str) -> Any:  # noqa: N803 - boto3's names, here and below
        entries, now_s = self._state.deployments_of(*ids.values()).entries[-MaxResults:], self._state.clock.now()
        states = ((entry.number, entry.state(now_s)) for entry in reversed(entries))
        return {"Items": [{"DeploymentNumber": number, "State": state} for number, state in states]}

    def _get_deployment(self, DeploymentNumber: int, **ids: str) -> Any:  # noqa: N803
        return self._deployment(ids, self._state.deployments_of(*ids.values()).find(str(DeploymentNumber)))

    def _start_deployment(self, ApplicationId: str, EnvironmentId: str, **body: Any) -> Any:  # noqa: N803
        started = self._state.start_deployment(ApplicationId, EnvironmentId, body)
        return self._deployment({"ApplicationId": ApplicationId, "EnvironmentId": EnvironmentId}, started)

    def _stop_deployment(self, DeploymentNumber: int, AllowRevert: bool, **ids: str) -> Any:  # noqa: N803
        deployments = self._state.deployments_of(*ids.values())
        return self._deployment(ids, deployments.stop(str(DeploymentNumber), AllowRevert, self._state.clock.now()))

    def _list_hosted_configuration_versions(self, MaxResults: int, **ids: str) -> Any:  # noqa: N803
        key = ids["ApplicationId"], ids["ConfigurationProfileId"]
        return {"Items": [dict(version) for version in self._state.versions[key]]}

    def _get_hosted_configuration_version(self, VersionNumber: int, **ids: str) -> Any:  # noqa: N803
        content = self._state.version(ids["ApplicationId"], ids["ConfigurationProfileId"], str(VersionNumber))[
            "Content"
        ]
        return {"Content": io.BytesIO(content)}

    def _create_hosted_configuration_version(
        self,
        ApplicationId: str,  # noqa: N803
        ConfigurationProfileId: str,  # noqa: N803
        Content: bytes,  # noqa: N803
        ContentType: str,  # noqa: N803
        **options: Any,
    ) -> Any:
        names = {"LatestVersionNumber": "latest-version-number", "VersionLabel": "versionlabel"}
        headers = {names.get(name, name.lower()): value for name, value in options.items()}
        return self._state.create_version(ApplicationId, ConfigurationProfileId, Content, ContentType, headers)

    def _create_deployment_strategy(self, **body: Any) -> Any:
        return self._state.create_strategy(body)

    def _disable_alarm_actions(self, AlarmNames: list[str]) -> None:  # noqa: N803
        self._state.monitor = replace(self._state.monitor, actions=False)

    def _enable_alarm_actions(self, AlarmNames: list[str]) -> None:  # noqa: N803
        self._state.monitor = replace(self._state.monitor, actions=True)

    def _deployment(self, ids: dict[str, str], deployment: Any) -> Any:
        described = self._state.described(ids["ApplicationId"], ids["EnvironmentId"], deployment)
        for name in described.keys() & {"StartedAt", "CompletedAt"}:
            described[name] = dt.datetime.fromisoformat(described[name])
        return described


def document_of(content: bytes, before: FlagDocument) -> FlagDocument:
    """What an environment serves that gets this content: what it served before if it cannot read it."""
    try:
        return FlagDocument.model_validate_json(content)
    except ValueError:
        return before
