"""`flagrank warm`: what requests will have judged, judged before anybody asks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagrank.cli.option_groups import with_option_groups
from flagrank.cli.output import JsonFlag, emit_json, steps
from flagrank.cli.target import Target
from flagrank.cli.warm_run import WarmRun
from flagrank.errors import ConfigurationError, DataError, InvalidRequest

if TYPE_CHECKING:
    from flagrank.warming.batches import Batches
    from flagrank.warming.wanted import Wanted
    from flagrank.warming.warmup import Warmup

# as long as the API takes
MAX_QUERY = 256
POLL_S, LOCAL_POLL_S = 30.0, 0.5

# with their numbers
type Lines = list[tuple[int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Whose requests are to be warmed; each field is an option."""

    users: Annotated[
        Path | None, typer.Option(help="A file of user ids, one a line: their requests without a query.")
    ] = None
    active: Annotated[
        int | None, typer.Option(min=1, help="The N users of the published set with the most interactions.")
    ] = None
    queries: Annotated[Path | None, typer.Option(help="A file of queries, one a line.")] = None
    askers: Annotated[
        int,
        typer.Option(
            min=0,
            help="For how many treated users, beside a cold one, each query is warmed. Heads differ by user; "
            "the share of other users' heads that this covers is told.",
        ),
    ] = 10
    percent: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Warm for the users of this percentage, ahead of a rise; else the flag's."),
    ] = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody is named."""
        return self.users is None and self.active is None and self.queries is None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """Whether a batch is used; each field is an option."""

    batch: Annotated[
        bool,
        typer.Option(
            "--batch",
            help="By Bedrock batch inference: half the price, and up to a day. At least 100 calls, of 10 texts each. "
            "Batches that are open are finished first.",
        ),
    ] = False
    resume: Annotated[
        str | None, typer.Option(metavar="ARN", help="With --batch: the job to wait for and to read, and nothing else.")
    ] = None
    wait: Annotated[bool, typer.Option(help="With --batch: wait for the job; a later call with --batch reads it.")] = (
        True
    )
    batch_role: Annotated[
        str | None,
        typer.Option(envvar="FLAGRANK_BATCH_ROLE", help="The role that Bedrock takes on; else the stack's."),
    ] = None


@with_option_groups
def warm(
    sources: Sources,
    options: BatchOptions,
    target: Target,
    parallel: Annotated[
        int | None, typer.Option(min=1, max=100, help="LLM calls at a time; as many as one request if none is given.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and what it costs at most, and ask nothing.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Judge profile intents and known queries before anybody asks, so that the first request is a cache hit.

    Heads, intents and texts are read from the serving pipeline itself, over the factors and the flag in force. What the
    cache holds is not judged again, so a command that was ended at any moment is simply repeated. The flag's daily cap
    holds. Users whom the flag does not treat are left out and counted.

    A request with a history, a category, a filter or exclusions of its own has another head.
    """
    _check_usage(sources, options)
    users, queries = _lines(sources.users), _queries(sources.queries)
    warmup, batches = _open(target, sources, options, parallel)
    with steps() as step:
        run = WarmRun(warmup, batches, step, POLL_S if target.local is None else LOCAL_POLL_S, quiet=json)
        if options.batch and not dry_run:
            run.finish_open(options.resume, options.wait)
        if not sources.is_empty and options.resume is None:
            left = run.plan(_wanted(run, sources, users, queries), options.batch)
            if left.pieces and not dry_run:
                run.batch(left, options.wait) if options.batch else run.judge(left)
    if json:
        emit_json({"dry_run": dry_run, **run.document})
    if not run.complete:
        raise typer.Exit(1)


def _check_usage(sources: Sources, options: BatchOptions) -> None:
    if sources.is_empty and not options.batch:
        raise ConfigurationError("say for whom: --users FILE, --active N or --queries FILE")
    if options.resume and not options.batch:
        raise ConfigurationError("--resume belongs to --batch")


def _open(target: Target, sources: Sources, options: BatchOptions, parallel: int | None) -> tuple["Warmup", "Batches"]:
    from flagrank.adapters.aws_errors import aws_errors
    from flagrank.bootstrap import build_warmup
    from flagrank.flags.exposure import treated_percent
    from flagrank.warming.wanted import planned_flag

    deployed = target.control().deployed().document
    if deployed is None:
        raise ConfigurationError("no flag document is deployed that this release can read: `flagrank rollout init`")
    document = planned_flag(deployed, sources.percent)
    if not (treated_percent(document) or (document.enabled and document.allow)):
        raise ConfigurationError("the flag treats nobody, who would see what was judged: plan ahead with --percent")
    role = (options.batch_role or target.batch_role()) if options.batch else None
    with aws_errors():
        return build_warmup(target.variables(), document, role, parallel)


def _wanted(run: WarmRun, sources: Sources, users: Lines, queries: list[str]) -> "Wanted":
    from flagrank.warming.wanted import Wanted, most_active

    wanted, warmup = Wanted(), run.warmup
    user_ids = [_user_id(warmup, sources.users, *line) for line in users]
    user_ids += most_active(warmup.factors, sources.active or 0)
    if user_ids:
        warmup.want_users(wanted, list(dict.fromkeys(user_ids)), run.step("users"))
    covered = warmup.want_queries(wanted, queries, sources.askers, run.step("queries")) if queries else None
    run.document["wanted"] = {"users": len(user_ids), "queries": len(queries), "covered": covered}
    return wanted


def _user_id(warmup: "Warmup", path: Path | None, number: int, line: str) -> int | str:
    try:
        return warmup.factors.parse_id("user_id", line)
    except InvalidRequest as error:
        raise DataError(str(path), number, error.problem) from error


def _queries(path: Path | None) -> list[str]:
    found = []
    for number, line in _lines(path):
        if len(line) > MAX_QUERY:
            raise DataError(str(path), number, f"a query has at most {MAX_QUERY} characters")
        found.append(line)
    return list(dict.fromkeys(found))


def _lines(path: Path | None) -> Lines:
    if path is None:
        return []
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise DataError(str(path), None, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(str(path), None, "is not UTF-8 text") from error
    found = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError(str(path), None, "holds no line")
    return found
