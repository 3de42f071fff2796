"""Which flag a command is about: in AWS, or in a local cloud."""

import functools
import inspect
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import typer

from flagrank.errors import CloudError

DEFAULT_PORT = 8080
PORTS = range(1024, 65536)


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
    """Which flag a command is about: each field is an option of every command (see `targeted`)."""

    application: Annotated[
        str, typer.Option(envvar="FLAGRANK_APPCONFIG_APPLICATION", help="AppConfig application, by name or id.")
    ] = "flagrank"
    environment: Annotated[
        str, typer.Option(envvar="FLAGRANK_APPCONFIG_ENVIRONMENT", help="AppConfig environment.")
    ] = "production"
    profile: Annotated[
        str, typer.Option(envvar="FLAGRANK_APPCONFIG_PROFILE", help="AppConfig configuration profile.")
    ] = "rerank"
    local: LocalOption = None

    def control(self) -> Any:
        """The flag's control plane, in AWS or in the local cloud."""
        import boto3

        from flagrank.adapters.appconfig_control import FlagControl

        if self.local is None:
            return FlagControl(boto3.client("appconfig"), self.application, self.environment, self.profile)
        variables = local_environment(self.local)
        names = ("APPLICATION", "ENVIRONMENT", "PROFILE")
        client = local_client("appconfig", variables)
        return FlagControl(client, *(variables[f"FLAGRANK_APPCONFIG_{name}"] for name in names))


def targeted(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command Target's fields as options, in place of its parameter `target`."""
    fields = inspect.signature(Target).parameters
    own = [entry for name, entry in inspect.signature(command).parameters.items() if name != "target"]
    shown = [entry.replace(kind=inspect.Parameter.KEYWORD_ONLY) for entry in (*own, *fields.values())]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        target = Target(**{name: values.pop(name) for name in fields})
        command(target=target, **values)

    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {entry.name: entry.annotation for entry in shown}
    return run


def local_environment(port: int) -> dict[str, str]:
    """The variables of the local cloud that serves a port; raises CloudError if none does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_local", timeout=5) as answer:
            variables: dict[str, str] = orjson.loads(answer.read())["environment"]
            return variables
    except (urllib.error.URLError, TimeoutError, ValueError, KeyError) as error:
        raise CloudError(f"no local cloud serves port {port}; start one with `flagrank local --port {port}`") from error


def local_client(service: str, variables: Mapping[str, str]) -> Any:
    """A boto3 client for a service of the local cloud that these variables describe."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=variables.get(f"AWS_ENDPOINT_URL_{service.upper()}", variables["AWS_ENDPOINT_URL"]),
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


def with_default_port(arguments: list[str]) -> list[str]:
    """The arguments with a bare `--local` given its default port: a number that can be no port is not one.

    Typer knows no options whose value may be left out.
    """
    filled = []
    for place, argument in enumerate(arguments):
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        is_bare = argument == "--local" and not (following.isdecimal() and int(following) in PORTS)
        filled.append(f"--local={DEFAULT_PORT}" if is_bare else argument)
    return filled
