"""`flagrank factors`: which published version is in force."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli.local_option import BucketOption, LocalOption
from flagrank.cli.output import JsonFlag, emit_json, progress_bar, stdout
from flagrank.cli.target import local_client, local_cloud
from flagrank.errors import ConfigurationError

app = typer.Typer(help="List published factors, and put a version into force.", no_args_is_help=True)


@app.command("list")
def list_all(bucket: BucketOption = None, local: LocalOption = None, json: JsonFlag = False) -> None:
    """Show every published version, the newest first, and which is in force."""
    from flagrank.offline.publishing.versions import list_versions

    with aws_errors():
        versions = list_versions(*client_and_bucket(bucket, local))
    if json:
        emit_json({"versions": [asdict(version) for version in versions]})
        return
    table = Table("version", "created", "", box=None)
    for version in versions:
        state = "in force" if version.in_force else "" if version.complete else "incomplete"
        table.add_row(version.version, version.created, state)
    stdout.print(table)


@app.command()
def activate(
    version: Annotated[str, typer.Argument(help="A version that `flagrank factors list` shows.")],
    bucket: BucketOption = None,
    local: LocalOption = None,
    json: JsonFlag = False,
) -> None:
    """Put a published version into force; each environment has it within its poll interval, a minute by default."""
    from flagrank.offline.publishing import versions

    with progress_bar() as progress, aws_errors():
        published = versions.activate(version, *client_and_bucket(bucket, local), progress=progress)
    _print_published(published, json)


@app.command()
def rollback(bucket: BucketOption = None, local: LocalOption = None, json: JsonFlag = False) -> None:
    """Put the version before this one back into force."""
    from flagrank.offline.publishing import versions

    with progress_bar() as progress, aws_errors():
        published = versions.roll_back(*client_and_bucket(bucket, local), progress=progress)
    _print_published(published, json)


def client_and_bucket(bucket: str | None, local: int | None) -> tuple[Any, str]:
    """The client and the bucket that the options name; raises ConfigurationError if they name none."""
    from flagrank.adapters import aws_clients

    if local is not None:
        variables = local_cloud(local)["environment"]
        return local_client("s3", variables), variables["FLAGRANK_BUCKET"]
    if bucket is None:
        raise ConfigurationError("name the bucket with --bucket or FLAGRANK_BUCKET, or use --local")
    return aws_clients.files_client(), bucket


def _print_published(published: Any, json: bool) -> None:
    if json:
        emit_json(asdict(published))
    else:
        stdout.print(f"{published.version} is in force, before it {published.previous}")
