"""AppConfig's control plane without its wire: the resources of one account.

After the API reference (https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference).
"""

import datetime as dt
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from flagrank.local.appconfig_deployments import BUSY, Deployment, Deployments, Monitor, Pace
from flagrank.local.rest_json import bad_request, conflict, not_found
from flagrank.ports import Clock

DESCRIPTION_CHARS = 1024
PREDEFINED = {
    "AppConfig.AllAtOnce": (0, 100.0, 10),
    "AppConfig.Linear50PercentEvery30Seconds": (1, 50.0, 1),
    "AppConfig.Canary10Percent20Minutes": (20, 10.0, 10),
    "AppConfig.Linear20PercentEvery6Minutes": (30, 20.0, 30),
}


@dataclass(slots=True)
class AppConfigState:
    """Everything that one AppConfig account holds."""

    clock: Clock
    pace: Pace = field(default_factory=Pace)
    monitor: Monitor = field(default_factory=Monitor)
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    environments: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    profiles: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    strategies: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployments: dict[tuple[str, str], Deployments] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        for name, (minutes, growth, bake) in PREDEFINED.items():
            self.strategies[name] = _strategy(name, name, minutes, growth, bake)

    # resources

    def create_application(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new application."""
        created = {"Id": self._id(), "Name": required(body, "Name"), "Description": body.get("Description", "")}
        self.applications[created["Id"]] = created
        return created

    def create_environment(self, application_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new environment of an application."""
        self._application(application_id)
        created = {
            "ApplicationId": application_id,
            "Id": self._id(),
            "Name": required(body, "Name"),
            "State": "READY_FOR_DEPLOYMENT",
            "Monitors": body.get("Monitors", []),
        }
        self.environments[application_id, created["Id"]] = created
        self.deployments[application_id, created["Id"]] = Deployments(self.pace)
        return created

    def create_profile(self, application_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new hosted configuration profile with its validators."""
        self._application(application_id)
        created = {
            "ApplicationId": application_id,
            "Id": self._id(),
            "Name": required(body, "Name"),
            "LocationUri": required(body, "LocationUri"),
            "Type": body.get("Type", "AWS.Freeform"),
            "Validators": body.get("Validators", []),
        }
        self.profiles[application_id, created["Id"]] = created
        self.versions[application_id, created["Id"]] = []
        return created

    def create_strategy(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new deployment strategy; minutes and percent."""
        created = _strategy(
            self._id(),
            required(body, "Name"),
            required(body, "DeploymentDurationInMinutes"),
            required(body, "GrowthFactor"),
            body.get("FinalBakeTimeInMinutes", 0),
        )
        self.strategies[created["Id"]] = created
        return created

    def create_version(
        self, application_id: str, profile_id: str, content: bytes, content_type: str, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """A new hosted version, if it passes the validators and nobody else made one meanwhile."""
        profile = self.profile(application_id, profile_id)
        versions = self.versions[application_id, profile_id]
        latest = headers.get("latest-version-number")
        if latest is not None and int(latest) != len(versions):
            raise conflict(f"LatestVersionNumber is {len(versions)}, not {latest}")
        label = headers.get("versionlabel")
        if label is not None and any(version["VersionLabel"] == label for version in versions):
            raise conflict(f"a version is labelled {label} already")
        description = headers.get("description", "")
        if not (description.isascii() and description.isprintable()) or len(description) > DESCRIPTION_CHARS:
            raise bad_request(f"Description is a header: at most {DESCRIPTION_CHARS} printable ASCII characters")
        _validate(profile, content)
        created = {
            "VersionNumber": len(versions) + 1,
            "Content": content,
            "ContentType": content_type,
            "Description": description,
            "VersionLabel": label,
        }
        versions.append(created)
        return created

    def profile(self, application_id: str, profile_id: str) -> dict[str, Any]:
        """A profile by id."""
        try:
            return self.profiles[application_id, profile_id]
        except KeyError:
            raise not_found("ConfigurationProfile") from None

    def version(self, application_id: str, profile_id: str, number: str) -> dict[str, Any]:
        """A hosted version by its number."""
        self.profile(application_id, profile_id)
        versions = self.versions[application_id, profile_id]
        if not number.isdecimal() or not 1 <= int(number) <= len(versions):
            raise not_found("HostedConfigurationVersion")
        return versions[int(number) - 1]

    # deployments

    def deployments_of(self, application_id: str, environment_id: str) -> Deployments:
        """An environment's deployments, after a look at its monitor."""
        if (application_id, environment_id) not in self.environments:
            raise not_found("Environment")
        deployments = self.deployments[application_id, environment_id]
        if self.environments[application_id, environment_id]["Monitors"]:
            deployments.watch(self.monitor, self.clock.now())
        return deployments

    def heed(self, monitor: Monitor) -> None:
        """The alarm, or what it sets off, is another from now on."""
        for application_id, environment_id in self.environments:
            self.deployments_of(application_id, environment_id)
        self.monitor = monitor
        for application_id, environment_id in self.environments:
            self.deployments_of(application_id, environment_id)

    def start_deployment(self, application_id: str, environment_id: str, body: Mapping[str, Any]) -> Deployment:
        """Begins a deployment of a version that exists."""
        deployments = self.deployments_of(application_id, environment_id)
        profile_id = required(body, "ConfigurationProfileId")
        version = self.version(application_id, profile_id, str(required(body, "ConfigurationVersion")))
        strategy = self.strategies.get(required(body, "DeploymentStrategyId"))
        if strategy is None:
            raise not_found("DeploymentStrategy")
        latest = body.get("LatestDeploymentNumber")
        number, description = version["VersionNumber"], body.get("Description", "")
        return deployments.start(profile_id, number, strategy, description, latest, self.clock.now())

    def described(self, application_id: str, environment_id: str, deployment: Deployment) -> dict[str, Any]:
        """A deployment as the API shows it."""
        now_s = self.clock.now()
        state = deployment.state(now_s)
        done = 100.0 if state != "DEPLOYING" else 100 * (now_s - deployment.started_s) / deployment.deploying_s
        version = self.versions[application_id, deployment.profile_id][deployment.version - 1]
        described = {
            "ApplicationId": application_id,
            "EnvironmentId": environment_id,
            "DeploymentStrategyId": deployment.strategy["Id"],
            "ConfigurationProfileId": deployment.profile_id,
            "DeploymentNumber": deployment.number,
            "ConfigurationName": self.profiles[application_id, deployment.profile_id]["Name"],
            "ConfigurationVersion": str(deployment.version),
            "Description": deployment.description,
            "State": state,
            "PercentageComplete": done,
            "StartedAt": _iso(deployment.started_s),
            "VersionLabel": version["VersionLabel"],
            **{name: deployment.strategy[name] for name in ("GrowthType", "GrowthFactor")},
            **{name: deployment.strategy[name] for name in ("DeploymentDurationInMinutes", "FinalBakeTimeInMinutes")},
        }
        return described if state in BUSY else {**described, "CompletedAt": _iso(deployment.completed_s)}

    def _application(self, application_id: str) -> None:
        if application_id not in self.applications:
            raise not_found("Application")

    def _id(self) -> str:
        return f"{next(self._ids):07x}"


def required(body: Mapping[str, Any], member: str) -> Any:
    if body.get(member) in (None, ""):
        raise bad_request(f"{member} is required")
    return body[member]


def _strategy(strategy_id: str, name: str, minutes: int, growth: float, bake_minutes: int) -> dict[str, Any]:
    return {
        "Id": strategy_id,
        "Name": name,
        "DeploymentDurationInMinutes": minutes,
        "GrowthType": "LINEAR",
        "GrowthFactor": growth,
        "FinalBakeTimeInMinutes": bake_minutes,
        "ReplicateTo": "NONE",
    }


def _validate(profile: Mapping[str, Any], content: bytes) -> None:
    for validator in profile["Validators"]:
        if validator["Type"] != "JSON_SCHEMA":
            continue
        try:
            jsonschema.validate(json.loads(content), json.loads(validator["Content"]))
        except (ValueError, jsonschema.ValidationError) as error:
            reason = getattr(error, "message", str(error))
            raise bad_request(f"the configuration is invalid: {reason}", Reason="InvalidConfiguration") from error


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
