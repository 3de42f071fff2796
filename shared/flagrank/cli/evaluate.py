"""`flagrank evaluate`."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flagrank.cli.output import emit_json, stdout, training_progress
from flagrank.cli.train import DataOption, SplitOption
from flagrank.errors import DataError


def evaluate(
    data: DataOption = "synthetic",
    split: SplitOption = "ua",
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the report as JSON; - for standard output.")
    ] = None,
) -> None:
    """Train on the base, evaluate on what was held out, through the serving code."""
    from flagrank.offline import evaluate as evaluation
    from flagrank.offline.sources import read_dataset
    from flagrank.offline.train import AlsParameters

    if json not in (None, "-") and (Path(json).is_dir() or not Path(json).absolute().parent.is_dir()):
        raise DataError(json, None, "expected a file in an existing folder")
    parameters = AlsParameters()
    dataset = read_dataset(data, split)
    with training_progress(parameters.iterations) as progress:
        result = evaluation.evaluate(dataset, parameters, progress)
    document = result.document()
    if json == "-":
        emit_json(document)
        return
    if json is not None:
        try:
            Path(json).write_text(jsonlib.dumps(document, indent=2) + "\n", "utf-8")
        except OSError as error:
            raise DataError(json, None, f"cannot be written: {error.strerror}") from error
    table = Table("", *result.stage1, title=f"{result.dataset}: {result.users} users")
    for name, values in (("popularity", result.popularity), ("stage 1", result.stage1)):
        table.add_row(name, *(f"{value:.4f}" for value in values.values()))
    stdout.print(table)
