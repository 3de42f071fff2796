"""What every command shares: results on standard output, progress on standard error."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def emit_json(document: dict[str, Any]) -> None:
    """The document on standard output."""
    typer.echo(json.dumps(document, indent=2))


@contextmanager
def training_progress(iterations: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error if that is a terminal, as `train`'s progress callback."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # elsewhere rich leaves a blank line, and a log has no use for a bar
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("training ALS", total=iterations)
        yield lambda number: bar.update(task, completed=number)
