"""`flagrank distill`."""

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli.evaluation_text import interval
from flagrank.cli.exit_codes import ExitCode
from flagrank.cli.local_option import LocalOption
from flagrank.cli.output import JsonFlag, emit_json, progress_bar, stdout
from flagrank.cli.target import local_client, local_cloud
from flagrank.errors import ArtifactError, ConfigurationError

if TYPE_CHECKING:
    from flagrank.model.artifacts import Manifest
    from flagrank.model.factors import Factors
    from flagrank.offline.data.judgements import JudgedText
    from flagrank.offline.evaluation.distillation import Distilled
    from flagrank.ports import JudgementLog

# puts the student's set where the set without it came from, and says what came of it
type Put = Callable[[dict[str, bytes]], dict[str, Any]]


def distill(
    folder: Annotated[
        Path | None, typer.Argument(help="An artifact set that gets the student, instead of the one in force.")
    ] = None,
    bucket: Annotated[
        str | None, typer.Option(envvar="FLAGRANK_BUCKET", help="The stack's bucket, whose set in force gets it.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Where in the bucket.")] = "factors",
    judgements: Annotated[
        list[Path] | None,
        typer.Option(help='JSON lines: {"intent": "...", "text": "...", "relevance": 0..100[, "rank", "model"]}.'),
    ] = None,
    batch_results: Annotated[
        list[Path] | None, typer.Option(help="A results file of Bedrock's batch inference; needs --model.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(envvar="FLAGRANK_TABLE", help="The stack's table, with the judgements that it keeps.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Whose judgements to learn from; needed if there are several.")
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=0, max=0.99, help="The flag's alpha, by which the gain is measured.")
    ] = 0.5,
    local: LocalOption = None,
    json: JsonFlag = False,
) -> None:
    """Distil an LLM's judgements into a student that reranks at the baseline's speed, and publish it with its set.

    It is measured on intents that it has not met. It is published only if the interval of its gain in NDCG over the
    baseline is above zero; otherwise nothing changes, and the exit code is 1. Serving uses it where the flag says
    student: fill.
    """
    from flagrank.offline.data.judgements import of_one_model
    from flagrank.offline.evaluation import distillation

    if folder is not None and local is not None:
        raise ConfigurationError("name one set: an artifact folder or --local")
    with aws_errors():
        judged = list(_judged(judgements or (), batch_results or (), table, local, model))
        manifest, factors, put = _of_folder(folder) if folder else _in_force(bucket, prefix, local)
        with progress_bar() as progress:
            made = distillation.distill(factors, of_one_model(judged, model), alpha, progress=progress)
        done = put(_files(manifest, made)) if made.is_better else {"version": None}
    if json:
        emit_json({**done, "published": made.is_better, **made.report})
    else:
        for line in _summary(made, done):
            stdout.print(line, markup=False)
    if not made.is_better:
        raise typer.Exit(ExitCode.REFUSED)


def _judged(
    files: Sequence[Path], results: Sequence[Path], table: str | None, local: int | None, model: str | None
) -> "Iterator[JudgedText]":
    from flagrank.offline.data.batch_judgements import read_batch_results
    from flagrank.offline.data.judgements import read_lines, unpacked

    if results and model is None:
        raise ConfigurationError("--batch-results needs --model: the results do not say who judged")
    if not (files or results or table or local):
        raise ConfigurationError("name where judgements are: --judgements, --batch-results, --table or --local")
    for file in files:
        yield from read_lines(file)
    for file in results:
        yield from read_batch_results(file, model or "")
    if table or local:
        for kept in _log(table, local).kept():
            yield from unpacked(kept)


def _log(table: str | None, local: int | None) -> "JudgementLog":
    from flagrank.adapters import aws_clients
    from flagrank.adapters.dynamodb_judgements import DynamoDBJudgementLog
    from flagrank.adapters.system_clock import SystemClock

    if local is None:
        assert table is not None
        return DynamoDBJudgementLog(
            aws_clients.operator_client("dynamodb", attempts=3), table, SystemClock(), keep_days=0
        )
    variables = local_cloud(local)["environment"]
    client = local_client("dynamodb", variables)
    return DynamoDBJudgementLog(client, table or variables["FLAGRANK_TABLE"], SystemClock(), keep_days=0)


def _of_folder(folder: Path) -> "tuple[Manifest, Factors, Put]":
    from flagrank.offline.publishing import artifact_folder

    def put(files: dict[str, bytes]) -> dict[str, Any]:
        artifact_folder.save(files, folder)
        return {"version": artifact_folder.read_manifest(folder).version, "folder": str(folder)}

    return artifact_folder.read_manifest(folder), artifact_folder.load(folder), put


def _in_force(bucket: str | None, prefix: str, local: int | None) -> "tuple[Manifest, Factors, Put]":
    from flagrank.cli.factors import client_and_bucket
    from flagrank.offline.publishing import artifact_folder, versions
    from flagrank.offline.publishing import publish as publishing

    client, bucket = client_and_bucket(bucket, local)
    pointer, etag = publishing.read_pointer(client, bucket, prefix)
    if pointer is None:
        raise ArtifactError(f"s3://{bucket}/{prefix} has no set in force; publish one first")
    manifest, factors = versions.fetch(pointer.version, client, bucket, prefix)

    def put(files: dict[str, bytes]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="flagrank-distill-") as scratch:
            artifact_folder.save(files, Path(scratch) / "set")
            published = publishing.publish(Path(scratch) / "set", client, bucket, prefix, made_from=(pointer, etag))
        return {**asdict(published), "bucket": bucket}

    return manifest, factors, put


def _files(manifest: "Manifest", made: "Distilled") -> dict[str, bytes]:
    from flagrank.model.encoding import encode

    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    metrics = {**manifest.metrics, "student": made.report}
    return encode(made.factors, created=created, training=manifest.training, metrics=metrics)


def _summary(made: "Distilled", done: dict[str, Any]) -> Iterator[str]:
    report, held_out = made.report, made.report["held_out"]
    yield f"{report['judgements']} judgements of {sum(report['intents'].values())} intents, judged by {report['judge']}"
    if report["unknown_texts"]:
        yield f"{report['unknown_texts']} judgements are of texts that the catalogue does not hold, and were left out"
    yield f"on {held_out['intents']} intents held out, at alpha {held_out['alpha']:g}:"
    for metric, name in (
        ("ndcg@10", "NDCG@10 by the LLM's relevance"),
        ("rank_correlation", "rank correlation with it"),
    ):
        found = held_out[metric]
        means = f"baseline {found['baseline']['mean']:.4f}, student {found['student']['mean']:.4f}"
        yield f"  {name}: {means}, {interval(found['gain'])}"
    if made.is_better:
        size = sum(report["bytes"].values())
        yield f"{done['version']} has the student, {size} bytes; it serves where the flag says student: fill"
    else:
        yield "not published: its gain over the baseline may be none; judge more intents, or leave the student off"
