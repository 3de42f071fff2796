"""Which flag a command is about: in AWS, or in a local cloud."""

import functools
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import typer

from flagrank.cli.local_option import PORTS, LocalOption
from flagrank.cli.output import stderr
from flagrank.delivery.analysis.counts import CountsSource
from flagrank.delivery.analysis.measures import MEASURES, Metric
from flagrank.delivery.deployments import RolloutControl
from flagrank.delivery.lease import LeaseStore
from flagrank.errors import CloudError, ConfigurationError
from flagrank.flags.document import FLAG_POLL_S

ALARMS = ("RerankUnhealthy", "ServiceFailing")
LOCAL_BATCH_ROLE = "arn:aws:iam::123456789012:role/flagrank-local-batch"


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

    def variables(self) -> dict[str, str]:
        """The variables of the function that serves: its settings, and where a local cloud is.

        With `--local` this process is in that cloud from now on, and its own AWS settings are left behind.
        """
        if self.local is not None:
            variables: dict[str, str] = local_cloud(self.local)["environment"]
            enter_local_cloud(variables)
            return variables
        return _deployed_variables(self.stack)

    def batch_role(self) -> str | None:
        """The ARN of the role that batch inference takes on; None where the stack has none."""
        return LOCAL_BATCH_ROLE if self.local is not None else _stack_output(self.stack, "BatchRoleArn")

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

    def dashboard(self) -> str:
        """Where the dashboard is: CloudWatch's address, or the command that draws it for a local cloud."""
        if self.local is not None:
            return f"`flagrank console --local {self.local}`"
        return _stack_output(self.stack, "DashboardUrl") or f"the stack {self.stack} names none"

    def leases(self) -> LeaseStore:
        """Where the lease of a ramp at work is kept: the scores' table."""
        from flagrank.adapters.aws_clients import operator_client
        from flagrank.adapters.aws_errors import aws_errors
        from flagrank.adapters.control.dynamodb_lease import DynamoDBLeases
        from flagrank.adapters.system_clock import SystemClock

        if self.local is not None:
            variables = local_cloud(self.local)["environment"]
            client, table = local_client("dynamodb", variables), variables["FLAGRANK_TABLE"]
        else:
            with aws_errors():
                table = operator_client("cloudformation", attempts=2).describe_stack_resource(
                    StackName=self.stack, LogicalResourceId="ScoresTable"
                )["StackResourceDetail"]["PhysicalResourceId"]
            client = operator_client("dynamodb", attempts=2)
        flag = f"{self.application or self.stack}/{self.environment}/{self.profile}"
        return DynamoDBLeases(client, table, flag, SystemClock())

    def look_further(self, metric: Metric) -> str:
        """The command that shows the requests which a metric counted, the newest ones."""
        counted = next(measure.statistic.numerator for measure in MEASURES if measure.metric is metric)
        name = counted.counts[0].metrics[0]
        if self.local is not None:
            return f"curl -s 'http://127.0.0.1:{self.local}/_local/requests?metric={name}'"
        # EMF lines hold each value in a list
        return f"sam logs --stack-name {self.stack} --name RecommendFunction --filter '{{ $.{name}[0] > 0 }}'"

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
    try:
        described = _described(stack)
    except CloudError as error:
        stderr.print(f"the stack does not tell FlagPollSeconds, so its default is assumed: {error}", markup=False)
        return FLAG_POLL_S
    parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in described.get("Parameters", ())}
    return float(parameters.get("FlagPollSeconds", FLAG_POLL_S))


def _stack_output(stack: str, name: str) -> str | None:
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in _described(stack).get("Outputs", ())}
    return outputs.get(name)


def _described(stack: str) -> dict[str, Any]:
    from flagrank.adapters.aws_clients import operator_client
    from flagrank.adapters.aws_errors import aws_errors

    with aws_errors():
        (described,) = operator_client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    found: dict[str, Any] = described
    return found


def _deployed_variables(stack: str) -> dict[str, str]:
    from flagrank.adapters.aws_clients import operator_client
    from flagrank.adapters.aws_errors import aws_errors

    with aws_errors():
        function = operator_client("cloudformation", attempts=2).describe_stack_resource(
            StackName=stack, LogicalResourceId="RecommendFunction"
        )["StackResourceDetail"]["PhysicalResourceId"]
        found = operator_client("lambda", attempts=2).get_function_configuration(
            FunctionName=function, Qualifier="live"
        )
    variables: dict[str, str] = found["Environment"]["Variables"]
    return variables


def enter_local_cloud(variables: Mapping[str, str]) -> None:
    """Gives this process a local cloud's variables in place of its own AWS settings, flag names and proxies."""
    from flagrank.local.processes import variables_to_inherit

    kept = {**variables_to_inherit(), **variables}
    files = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    os.environ.clear()
    os.environ.update(kept | files)


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
