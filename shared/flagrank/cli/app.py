"""The `flagrank` command; `exit_codes` says how it ends. What a command needs is imported when it runs."""

import sys
from importlib.metadata import version
from typing import Annotated, Any, cast

import typer
from typer.exceptions import TyperException

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli.commands import ROLLOUT, TOP
from flagrank.cli.exit_codes import ExitCode, exit_code
from flagrank.cli.lazy import group
from flagrank.cli.local_option import with_default_port
from flagrank.errors import FlagrankError

app = group("flagrank", "A serverless recommender whose LLM reranker ships behind a flag.", TOP)
app.add_typer(group("rollout", "Look at the flag and change it.", ROLLOUT))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flagrank {version('flagrank')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of every command: with none of its own, a callback still gives `--version`."""


def main() -> None:
    """Runs the command; a failure is said on standard error, and with --json as an object on standard output."""
    arguments = with_default_port(sys.argv[1:])
    try:
        with aws_errors():
            code = app(arguments, standalone_mode=False)
    except (TyperException, FlagrankError) as error:
        code = report(error)
        # `evaluate --json` and `bench --json` name a file
        if "--json" in arguments and arguments[0] not in ("evaluate", "bench"):
            from flagrank.cli.output import emit_json

            emit_json({"error": _words(error), "exit": code})
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    sys.exit(code or 0)


def report(error: TyperException | FlagrankError) -> int:
    """Prints the failure and gives its exit code."""
    if isinstance(error, FlagrankError):
        from rich.console import Console
        from rich.markup import escape

        Console(stderr=True).print(f"[bold red]error:[/] {escape(_words(error))}", highlight=False, soft_wrap=True)
        return int(exit_code(error))
    from typer.rich_utils import rich_format_error

    # what typer raises is one of click's, which it carries in itself
    rich_format_error(cast(Any, error))
    return int(getattr(error, "exit_code", ExitCode.USAGE))


def _words(error: TyperException | FlagrankError) -> str:
    if isinstance(error, FlagrankError):
        from flagrank.cli.aws_hints import hint

        advice = hint(error)
        return f"{error}; {advice}" if advice else str(error)
    said = getattr(error, "format_message", None)
    return str(said() if said else error)
