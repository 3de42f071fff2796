"""The `flagrank` command: exit codes 0 done, 1 refused or failed, 2 bad usage or input."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli import console, cost, demo, distill, evaluate, factors, local, publish, ramp, rollout, train, warm
from flagrank.cli.output import emit_json
from flagrank.cli.target import with_default_port
from flagrank.errors import ConfigurationError, DataError, FlagrankError

app = typer.Typer(
    name="flagrank",
    help="A serverless recommender whose LLM reranker ships behind a flag.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("train")(train.train)
app.command("publish")(publish.publish)
app.command("distill")(distill.distill)
app.command("evaluate")(evaluate.evaluate)
app.command("local")(local.local)
app.command("warm")(warm.warm)
app.command("console")(console.console)
app.command("cost")(cost.cost)
app.add_typer(demo.app, name="demo")
app.add_typer(factors.app, name="factors")
rollout.app.command("ramp")(ramp.ramp)
rollout.app.command("watch")(ramp.watch)
app.add_typer(rollout.app, name="rollout")


def main() -> None:
    """Runs the command; a known failure is one line on standard error, and with --json an object on standard output."""
    arguments = with_default_port(sys.argv[1:])
    try:
        with aws_errors():
            app(arguments)
    except FlagrankError as error:
        code = report(error)
        # `evaluate --json` names a file
        if "--json" in arguments and arguments[0] != "evaluate":
            emit_json({"error": str(error), "exit": code})
        sys.exit(code)


def report(error: FlagrankError) -> int:
    """Prints the failure and gives its exit code."""
    Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    return 2 if isinstance(error, DataError | ConfigurationError) else 1
