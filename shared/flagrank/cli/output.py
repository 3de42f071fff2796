"""What every command shares: results on standard output, progress on standard error."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 15.0

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def emit_json(document: dict[str, Any]) -> None:
    """The document on standard output."""
    typer.echo(json.dumps(document, indent=2))


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each step on standard error if that is a terminal, as a callback of step, done and total."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # into a file rich would write a blank line
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done)

        yield tell


@contextmanager
def steps() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """The progress of named steps on standard error, each a callback of done and total.

    A bar on a terminal; elsewhere a line at the end of each step, and one in a while before that.
    """
    with progress_bar() as tell:

        def step(name: str) -> Callable[[int, int], None]:
            due_s = time.monotonic() + LINE_EVERY_S

            def told(done: int, total: int) -> None:
                nonlocal due_s
                tell(name, done, total)
                if not stderr.is_terminal and (done == total or time.monotonic() >= due_s):
                    due_s = time.monotonic() + LINE_EVERY_S
                    stderr.print(f"{name}: {done} of {total}", markup=False)

            return told

        yield step
