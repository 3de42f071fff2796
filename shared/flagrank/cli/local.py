"""`flagrank local`: the whole of Flagrank on a laptop, no AWS account."""

import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from flagrank.cli.data_options import DataOptions
from flagrank.cli.flag_file import read_flag
from flagrank.cli.option_groups import with_option_groups
from flagrank.cli.output import stderr
from flagrank.cli.real_model import RealModelOptions, real_model
from flagrank.cli.stand_in_llm import StandInOptions
from flagrank.cli.train import train_into


@with_option_groups
def local(
    model: RealModelOptions,
    stand_in: StandInOptions,
    source: DataOptions,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the API listens; 0 lets the system choose.")
    ] = 8080,
    environments: Annotated[int, typer.Option(min=1, max=64, help="Function environments, each a process.")] = 2,
    flag: Annotated[
        Path | None, typer.Option(help="The flag document to begin with; 50 % treated if none is given.")
    ] = None,
    percent: Annotated[
        float | None, typer.Option(min=0, max=100, help="Share of treated users, instead of the document's.")
    ] = None,
    cloud_host: Annotated[
        str, typer.Option(help="Where the stand-ins listen; a Docker bridge's address lets `sam local` reach them.")
    ] = "127.0.0.1",
    traffic: Annotated[
        float | None,
        typer.Option(min=0.1, max=1000, metavar="RPS", help="Requests a second of returning users, some with a query."),
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="How many users the traffic is of.")] = 500,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the function's log lines.")] = False,
) -> None:
    """Train (or take an artifact folder as --data), start the local cloud, publish, and serve the API.

    S3, DynamoDB, CloudWatch, SQS, AppConfig and Bedrock are stand-ins on loopback that speak AWS's wire protocol;
    requests become Lambda events for the real handler. Ctrl-C ends all of it.
    """
    from flagrank.local.cloud import LOCAL_FLAG, LocalCloud, check_can_serve

    # also where a shell started this in the background, with SIGINT ignored: both end it as Ctrl-C does, at any moment
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    model.check()
    document = read_flag(flag) if flag else LOCAL_FLAG.model_copy(update=stand_in.flag_fields())
    if percent is not None:
        document = document.model_copy(update={"percent": percent})
    check_can_serve(port)
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="flagrank-local-") as scratch:
        artifacts = _artifacts(source, Path(scratch) / "artifacts")
        cloud = LocalCloud(artifacts, document, stand_in.behaviour(), port, environments, cloud_host, verbose=verbose)
        cloud.settings = stand_in.settings()
        _serve(cloud, model, None if traffic is None else (traffic, users), patient=flag is None)


def _serve(cloud: Any, model: RealModelOptions, traffic: tuple[float, int] | None, *, patient: bool) -> None:
    """Serves until somebody interrupts; with a real model and budgets that it can keep, where one is asked for.

    `traffic` are requests a second, and how many users ask.
    """
    with real_model(model) as asked:
        if asked is not None:
            cloud.flag = asked.flag(cloud.flag, patient=patient)
            cloud.settings, cloud.secrets = asked.settings(), asked.secrets()
        with cloud:
            _introduce(cloud, cloud.artifacts)
            # plain and last, so that scripts can wait for it
            typer.echo(f"ready {cloud.url}")
            with contextlib.nullcontext() if traffic is None else _traffic(cloud, *traffic):
                threading.Event().wait()


@contextlib.contextmanager
def _traffic(cloud: Any, per_s: float, users: int) -> Iterator[None]:
    """Traffic for the block; at its end, what became of it."""
    from flagrank.local.traffic import Audience, Traffic
    from flagrank.offline.publishing.artifact_folder import load

    running = Traffic(cloud.url, per_s, Audience.of(load(cloud.artifacts), users))
    try:
        with running:
            yield
    finally:
        stderr.print(f"traffic: {running.summary}")


def _artifacts(source: DataOptions, out: Path) -> Path:
    from flagrank.model.artifacts import MANIFEST
    from flagrank.offline.training.two_stage import QUICK_PLAN

    if (Path(source.data) / MANIFEST).exists():
        return Path(source.data)
    # somebody waits for the prompt: a small Stage 2 shows what a large one would
    train_into(out, source.read(), QUICK_PLAN, record=source.recorded())
    return out


def _introduce(cloud: Any, artifacts: Path) -> None:
    from flagrank.domain import Arm
    from flagrank.flags.assignment import decide
    from flagrank.offline.publishing.artifact_folder import load

    factors = load(artifacts)
    users: dict[Arm, list[str]] = {Arm.TREATMENT: [], Arm.CONTROL: []}
    for user_id in factors.user_ids[:500].tolist():
        users[decide(cloud.flag, user_id).arm].append(str(user_id))
    table = Table(show_header=False, box=None, title="Flagrank local", title_justify="left")
    table.add_row("factors", f"{factors.version}: {len(factors.item_ids)} items, {len(factors.user_ids)} users")
    stand_ins = (
        ("aws", "S3, DynamoDB, CloudWatch"),
        ("sqs", "SQS"),
        ("appconfig", "AppConfig"),
        ("bedrock", "Bedrock"),
    )
    for name, what in stand_ins:
        table.add_row(what, cloud.endpoint(name))
    if url := cloud.settings.get("FLAGRANK_OPENAI_URL"):
        table.add_row("LLM", f"{cloud.flag.model_id} at {url}")
    table.add_row("environments", str(cloud.environments))
    table.add_row("flag", f"{cloud.flag.percent:g} % treated, alpha {cloud.flag.alpha:g}, path {cloud.flag.path}")
    for arm, some in users.items():
        table.add_row(f"users in {arm}", ", ".join(some[:8]) or "none")
    stderr.print(table)
    stderr.print(f"try: curl '{cloud.url}/recommend?user_id=123&top_k=5'", soft_wrap=True)
