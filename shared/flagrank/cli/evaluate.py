"""`flagrank evaluate`."""

import datetime as dt
import importlib.util
import json as jsonlib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli.data_options import DataOptions
from flagrank.cli.evaluation_text import parts
from flagrank.cli.option_groups import with_option_groups
from flagrank.cli.output import emit_json, progress_bar, stdout
from flagrank.cli.train import EmbedderOption, Stage2Kind
from flagrank.errors import ConfigurationError, DataError


@with_option_groups
def evaluate(
    source: DataOptions,
    stage2: Annotated[Stage2Kind | None, typer.Option(help="What orders ALS's candidates. [default: blend]")] = None,
    embedder: EmbedderOption = "none",
    like: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Train as this artifact set was trained, tuned or not.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Both stages and their difference alone, without the experiments.")
    ] = False,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the report as JSON; - for standard output.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page.")] = None,
) -> None:
    """Train on the base, evaluate on what was held out, through the serving code; nothing is tuned on the test."""
    from flagrank.offline.evaluation import evaluate as evaluation
    from flagrank.offline.publishing import artifact_folder
    from flagrank.offline.training.two_stage import TrainingPlan

    for target in (json, html):
        if target not in (None, "-") and (Path(target).is_dir() or not Path(target).absolute().parent.is_dir()):
            raise DataError(str(target), None, "expected a file in an existing folder")
    if html is not None:
        _check_can_plot()
    dataset = source.read()
    plan = TrainingPlan.of(artifact_folder.read_manifest(like).training) if like else TrainingPlan()
    if stage2 is not None:
        plan = replace(plan, kind=stage2.value)
    with progress_bar() as progress, aws_errors():
        document = evaluation.evaluate(dataset, plan, embedder, quick, progress)
    if html is not None:
        from flagrank.offline.evaluation.report import page

        now = dt.datetime.now(dt.UTC).isoformat(timespec="minutes")
        _write(html, page({"made": {"Flagrank": version("flagrank"), "on": now}, **document}))
    if json == "-":
        emit_json(document)
        return
    if json is not None:
        _write(Path(json), jsonlib.dumps(document, indent=2, allow_nan=False) + "\n")
    for part in parts(document):
        stdout.print(part, markup=False)


def _check_can_plot() -> None:
    # checked before a minute of training
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError("--html needs matplotlib: install flagrank[report]")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise DataError(str(file), None, f"cannot be written: {error.strerror}") from error
