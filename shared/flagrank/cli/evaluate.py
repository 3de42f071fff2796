"""`flagrank evaluate`."""

import importlib.util
import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli.output import emit_json, progress_bar, stdout
from flagrank.cli.train import DataOption, EmbedderOption, SplitOption, Stage2Kind, Stage2Option
from flagrank.errors import ConfigurationError, DataError


def evaluate(
    data: DataOption = "synthetic",
    split: SplitOption = "ua",
    stage2: Stage2Option = Stage2Kind.BLEND,
    embedder: EmbedderOption = "none",
    quick: Annotated[
        bool, typer.Option("--quick", help="Both stages and their difference alone, without the experiments.")
    ] = False,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the report as JSON; - for standard output.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page.")] = None,
) -> None:
    """Train on the base, evaluate on what was held out, through the serving code; nothing is tuned on the test."""
    from flagrank.offline import evaluate as evaluation
    from flagrank.offline.sources import read_dataset
    from flagrank.offline.two_stage import TrainingPlan

    for target in (json, html):
        if target not in (None, "-") and (Path(target).is_dir() or not Path(target).absolute().parent.is_dir()):
            raise DataError(str(target), None, "expected a file in an existing folder")
    if html is not None:
        _check_can_plot()
    dataset = read_dataset(data, split)
    with progress_bar() as progress, aws_errors():
        document = evaluation.evaluate(dataset, TrainingPlan(kind=stage2.value), embedder, quick, progress)
    if html is not None:
        from flagrank.offline.report import page

        _write(html, page(document))
    if json == "-":
        emit_json(document)
        return
    if json is not None:
        _write(Path(json), jsonlib.dumps(document, indent=2) + "\n")
    _show(document)


def _check_can_plot() -> None:
    # before a minute of training, not after it
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError("--html needs matplotlib: install flagrank[report]")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise DataError(str(file), None, f"cannot be written: {error.strerror}") from error


def _show(document: dict[str, Any]) -> None:
    metrics = list(document["stage1"])
    table = Table("", *metrics, title=f"{document['dataset']}: {document['users']} users")
    for name in ("popularity", "stage1", "stage2", "oracle"):
        table.add_row(name, *(f"{document[name][metric]:.4f}" for metric in metrics))
    changes = (document["delta"][metric] for metric in metrics)
    table.add_row("stage2 - stage1", *(_interval(change) for change in changes))
    stdout.print(table)
    beyond = Table("", *document["beyond_accuracy"]["stage1"])
    for name, values in document["beyond_accuracy"].items():
        beyond.add_row(name, *(f"{value:.3f}" for value in values.values()))
    stdout.print(beyond)
    for group, change in document.get("ablation", {}).items():
        stdout.print(f"without {group}: NDCG@10 {_interval(change['ndcg@10'])}")
    for name, judge in document.get("llm", {}).items():
        best = "; ".join(f"alpha {alpha}: {_interval(change['ndcg@10'])}" for alpha, change in judge["alpha"].items())
        stdout.print(f"LLM by {name}, NDCG@10: {best}")
        stdout.print(f"  fallbacks {judge['fallback_rate']:.2%}, cache hits {judge['cache']['hit_rate']:.1%}")


def _interval(change: dict[str, Any]) -> str:
    low, high = change["ci95"]
    return f"{change['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"
