"""`flagrank publish`."""

from pathlib import Path
from typing import Annotated

import typer

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli.local_option import BucketOption, LocalOption
from flagrank.cli.output import JsonFlag, emit_json, progress_bar, stdout


def publish(
    folder: Annotated[Path, typer.Argument(help="An artifact set, as `flagrank train` writes it.")],
    bucket: BucketOption = None,
    prefix: Annotated[str, typer.Option(help="Where in the bucket.")] = "factors",
    local: LocalOption = None,
    json: JsonFlag = False,
) -> None:
    """Upload an artifact set and put it into force: objects first, the pointer last, and only if nobody moved it."""
    from flagrank.cli.factors import client_and_bucket
    from flagrank.offline.publishing import publish as publishing

    with progress_bar() as progress, aws_errors():
        client, bucket = client_and_bucket(bucket, local)
        published = publishing.publish(folder, client, bucket, prefix, progress=progress)
    if json:
        emit_json({"version": published.version, "previous": published.previous, "bucket": bucket})
    else:
        before = f", before it {published.previous}" if published.previous else ""
        stdout.print(f"{published.version} is in force in s3://{bucket}/{prefix}{before}", markup=False)
