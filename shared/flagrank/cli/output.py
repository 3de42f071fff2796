"""What every command shares: results on standard output, progress on standard error."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from flagrank.cli.step_lines import StepLines

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def emit_json(document: dict[str, Any]) -> None:
    """The document on standard output."""
    typer.echo(json.dumps(document, indent=2))


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A step's progress on standard error, as a callback of step, done and total.

    A bar on a terminal. Elsewhere a line when a step begins, one in a while with an estimate, and one at its end.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # into a file rich would write a blank line
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}
        lines: dict[str, StepLines] = {}

        def tell(step: str, done: int, total: int) -> None:
            if not stderr.is_terminal:
                line = lines.setdefault(step, StepLines(step)).line(done, total, time.monotonic())
                if line:
                    stderr.print(line, markup=False, soft_wrap=True)
                return
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done)

        yield tell


@contextmanager
def steps() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """The progress of named steps, each a callback of done and total; shown as `progress_bar` shows it."""
    with progress_bar() as tell:
        yield lambda name: lambda done, total: tell(name, done, total)
