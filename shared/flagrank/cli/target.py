"""Which flag a command is about: in AWS, or in a local cloud."""

import functools
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import typer

from flagrank.cli.output import stderr
from flagrank.delivery.analysis.counts import CountsSource
from flagrank.delivery.deployments import RolloutControl
from flagrank.errors import CloudError, ConfigurationError
from flagrank.flags.document import FLAG_POLL_S

ALARMS = ("RerankUnhealthy", "ServiceFailing")
DEFAULT_PORT = 8080
PORTS = range(1024, 65536)
# commands whose own argument may follow a bare `--local`
TAKING_NUMBERS = frozenset({"percent", "ramp", "diff", "activate"})


LocalOption = Annotated[
    int | None,
    typer.Option(
        "--local",
        metavar="[PORT]",
        help=f"The local cloud that serves this port ({DEFAULT_PORT} if none is given) instead of AWS.",
    ),
]


@dataclass(frozen=True, slots=True)
class Target:
    """Which flag a command is about: each field is an option (see `with_option_groups`)."""

    stack: Annotated[str, typer.Option(envvar="FLAGRANK_STACK", help="CloudFormation stack: its alarms and logs.")] = (
        "flagrank"
    )
    application: Annotated[
        str | None,
        typer.Option(
            envvar="FLAGRANK_APPCONFIG_APPLICATION",
            help="AppConfig application, by name or id; the stack's name if none is given.",
        ),
    ] = None
    environment: Annotated[
        str, typer.Option(envvar="FLAGRANK_APPCONFIG_ENVIRONMENT", help="AppConfig environment.")
    ] = "production"
    profile: Annotated[
        str, typer.Option(envvar="FLAGRANK_APPCONFIG_PROFILE", help="AppConfig configuration profile.")
    ] = "rerank"
    local: LocalOption = None

    @property
    def propagation_s(self) -> float:
        """The longest that a change takes to reach an environment that serves requests."""
        return _stack_poll_s(self.stack) if self.local is None else float(local_cloud(self.local)["flag_poll_s"])

    def control(self) -> RolloutControl:
        """The flag's control plane, in AWS or in the local cloud."""
        from flagrank.adapters.aws_clients import operator_client
        from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
        from flagrank.adapters.control.cloudwatch_alarms import AlarmActions

        if self.local is None:
            monitor = AlarmActions(operator_client("cloudwatch"), f"{self.stack}-FlagMonitor", tolerant=True)
            names = (self.application or self.stack, self.environment, self.profile)
            return AppConfigRolloutControl.named(operator_client("appconfig", attempts=2), *names, monitor)
        variables = local_cloud(self.local)["environment"]
        names = tuple(variables[f"FLAGRANK_APPCONFIG_{name}"] for name in ("APPLICATION", "ENVIRONMENT", "PROFILE"))
        return AppConfigRolloutControl.named(local_client("appconfig", variables), *names)

    def figures(self) -> CountsSource:
        """Both arms' figures."""
        from flagrank.adapters.aws_clients import operator_client
        from flagrank.adapters.aws_errors import aws_errors
        from flagrank.adapters.control.cloudwatch_counts import CloudWatchCounts
        from flagrank.local.counts import LocalCounts

        if self.local is not None:
            return LocalCounts(self.local)
        with aws_errors():
            logs = operator_client("cloudformation", attempts=2).describe_stack_resource(
                StackName=self.stack, LogicalResourceId="RecommendLogs"
            )["StackResourceDetail"]["PhysicalResourceId"]
            cloudwatch, queries = (operator_client(service, attempts=2) for service in ("cloudwatch", "logs"))
            return CloudWatchCounts(cloudwatch, queries, logs)

    def firing_alarm(self) -> str | None:
        """The name of an alarm that fires now, during which exposure should not rise; None if none fires."""
        from flagrank.adapters.aws_clients import operator_client
        from flagrank.adapters.aws_errors import aws_errors
        from flagrank.adapters.control.cloudwatch_alarms import firing_alarm

        if self.local is not None:
            return None
        with aws_errors():
            names = [f"{self.stack}-{name}" for name in ALARMS]
            return firing_alarm(operator_client("cloudwatch", attempts=2), names)


@functools.cache
def _stack_poll_s(stack: str) -> float:
    from flagrank.adapters.aws_clients import operator_client
    from flagrank.adapters.aws_errors import aws_errors

    try:
        with aws_errors():
            (described,) = operator_client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except CloudError as error:
        stderr.print(f"the stack does not tell FlagPollSeconds, so its default is assumed: {error}", markup=False)
        return FLAG_POLL_S
    parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in described.get("Parameters", ())}
    return float(parameters.get("FlagPollSeconds", FLAG_POLL_S))


def local_cloud(port: int) -> dict[str, Any]:
    """How the local cloud that serves a port describes itself.

    Raises CloudError if no local cloud serves it, and ConfigurationError if the number cannot be a port.
    """
    if port not in PORTS:
        raise ConfigurationError(f"--local {port}: ports are {PORTS[0]} to {PORTS[-1]}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_local", timeout=5) as answer:
            description: dict[str, Any] = orjson.loads(answer.read())
            return description
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise CloudError(f"no local cloud serves port {port}; start one with `flagrank local --port {port}`") from error


def local_client(service: str, variables: Mapping[str, str]) -> Any:
    """A boto3 client for a service of the local cloud that these variables describe."""
    from flagrank.local.clients import client

    return client(service, variables)


def with_default_port(arguments: list[str]) -> list[str]:
    """The arguments with the default port added to a bare `--local`. A number that is meant for the command is no port.

    Typer has no options whose value may be left out.
    """
    takes_numbers = TAKING_NUMBERS.intersection(arguments)
    filled = []
    for place, argument in enumerate(arguments):
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        is_port = following.isdecimal() and (int(following) in PORTS or not takes_numbers)
        filled.append(f"--local={DEFAULT_PORT}" if argument == "--local" and not is_port else argument)
    return filled
