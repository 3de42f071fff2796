"""`flagrank train`."""

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli.als_options import AlsOptions
from flagrank.cli.data_options import DataOptions
from flagrank.cli.option_groups import with_option_groups
from flagrank.cli.output import JsonFlag, emit_json, progress_bar, stderr, stdout
from flagrank.errors import DataError

if TYPE_CHECKING:
    from flagrank.model.factors import Factors
    from flagrank.offline.data.interactions import Dataset
    from flagrank.offline.evaluation.tune import SearchResult
    from flagrank.offline.training.two_stage import TrainingPlan

NO_STAGE2 = "no Stage 2: nobody has enough interactions to learn one from, and ALS's order is served"
MIN_EFFECTIVE_RANK = 2.0
# two or three factors span fewer directions even when nothing is wrong
MIN_RANK_SHARE = 0.75

EmbedderOption = Annotated[
    str,
    typer.Option(help="Who embeds the items' texts: none, minilm, bedrock:MODEL_ID, or a sentence-transformers model."),
]


class Stage2Kind(StrEnum):
    """What orders ALS's candidates."""

    NONE = "none"
    LINEAR = "linear"
    TREES = "trees"
    BLEND = "blend"


Stage2Option = Annotated[Stage2Kind, typer.Option("--stage2", help="What orders ALS's candidates.")]


@with_option_groups
def train(
    source: DataOptions,
    als: AlsOptions,
    ctx: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the artifact set; an earlier set there is replaced whole. [required]"),
    ] = None,
    stage2: Stage2Option = Stage2Kind.BLEND,
    neighbours: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Item neighbours that Stage 2 reads. [default: all items up to 3,000, 200 above]"
        ),
    ] = None,
    embedder: EmbedderOption = "none",
    tune: Annotated[
        bool, typer.Option("--tune", help="Search Stage 1's parameters first, on folds of the training data.")
    ] = False,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the search.")] = 40,
    study: Annotated[
        Path | None, typer.Option(help="Where the search keeps its trials, to be resumed. [default: OUT.tuning.jsonl]")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read the data, say what they hold and what training takes; train nothing."),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Train both stages and write them as an artifact set, ready for `flagrank publish`."""
    if dry_run:
        _describe(source, json)
        return
    if out is None:
        raise typer.BadParameter("is missing", ctx=ctx, param_hint="'--out'")
    from flagrank.offline.publishing import artifact_folder

    plan = _plan(als.given(), stage2, neighbours)
    artifact_folder.check_replaceable(out)
    study = _study(out, study) if tune else None
    dataset = source.read()
    found = _search(dataset, plan, trials, study) if study else None
    record: dict[str, Any] = {"tuning": found.document()} if found else {}
    metrics = {"search": found.metrics()} if found else {}
    if found:
        plan = replace(plan, als=found.best.parameters)
    trained, metrics = train_into(out, dataset, plan, embedder, {**source.recorded(), **record}, metrics)
    _warn_if_collapsed(trained)
    learned = plan.kind if trained.stage2 else "none"
    if json:
        sizes = {"items": len(trained.item_ids), "users": len(trained.user_ids)}
        emit_json({"version": trained.version, "folder": str(out), **sizes, "stage2": learned, **metrics, **record})
        return
    for line in _summary(trained, out, plan.kind, found, metrics):
        stdout.print(line, markup=False)


def _describe(source: DataOptions, json: bool) -> None:
    from flagrank.cli.dry_run import described

    document, lines = described(source.read())
    if json:
        emit_json(document)
        return
    for line in lines:
        stdout.print(line, markup=False)


def train_into(
    out: Path,
    dataset: "Dataset",
    plan: "TrainingPlan",
    embedder: str = "none",
    record: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
) -> "tuple[Factors, dict[str, Any]]":
    """Trains on the dataset and saves the set in the folder; gives the factors as they will be served, and the metrics.

    The manifest keeps `record` in its `training`, and `metrics` with what both stages reached on a fold of the data.
    """
    from flagrank.model.encoding import Open, write_set
    from flagrank.offline.evaluation.fold_quality import fold_quality
    from flagrank.offline.publishing import artifact_folder
    from flagrank.offline.training.item_embeddings import embed_items
    from flagrank.offline.training.two_stage import train_two_stages
    from flagrank.offline.training.workers import Workers

    with progress_bar() as progress, aws_errors(), Workers(os.process_cpu_count() or 1) as workers:
        embeddings = embed_items(dataset, embedder, progress)
        stages = train_two_stages(dataset, plan, embeddings, progress, workers)
        quality = fold_quality(stages.examples, plan.features(dataset, embedded=embeddings is not None), plan, progress)
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    recorded = {"dataset": dataset.name, "embedder": embedder, **plan.recorded(), **(record or {})}
    # resolved first: the working directory may be the folder that is replaced
    written = out.resolve()
    measured = {**(metrics or {}), **({"fold_held_out": quality} if quality else {})}

    def write(opened: Open) -> None:
        users = [stages.factors.users]
        write_set(stages.factors, users, opened, created=created, training=recorded, metrics=measured)

    # what serving would refuse must not replace a set that it takes
    artifact_folder.save_set(out, write, artifact_folder.check)
    return artifact_folder.load(written), measured


def _plan(given: dict[str, Any], stage2: Stage2Kind, neighbours: int | None) -> "TrainingPlan":
    from flagrank.offline.training.als import AlsParameters
    from flagrank.offline.training.neighbours import NeighbourParameters
    from flagrank.offline.training.two_stage import TrainingPlan

    plan = TrainingPlan(als=AlsParameters(**given), kind=stage2.value)
    return plan if neighbours is None else replace(plan, neighbours=NeighbourParameters(count=neighbours))


def _study(out: Path, given: Path | None) -> Path:
    # resolved: `--out .` has no name
    folder = out.resolve()
    study = given or folder.with_name(f"{folder.name}.tuning.jsonl")
    if study.resolve().is_relative_to(folder):
        # the folder would then not be empty, and would be refused when the search is over
        raise DataError(str(study), None, "lies in the folder of --out; give another --study")
    return study


def _search(dataset: "Dataset", plan: "TrainingPlan", trials: int, study: Path) -> "SearchResult":
    from flagrank.offline.evaluation.tune import search

    with progress_bar() as progress:
        return search(dataset, plan.als, trials, study, progress)


def _summary(
    trained: "Factors", out: Path, kind: str, found: "SearchResult | None", metrics: dict[str, Any]
) -> Iterator[str]:
    items, dimension = trained.item_factors.shape
    yield f"{trained.version}: {items} items, {len(trained.user_ids)} users, {dimension} factors, in {out}"
    if found:
        yield _best(found)
    if "fold_held_out" in metrics:
        first, second = (metrics["fold_held_out"][stage]["ndcg@10"] for stage in ("stage1", "stage2"))
        yield f"on a fold held out of the training data: NDCG@10 {first:.4f} by ALS, {second:.4f} with Stage 2"
    if trained.stage2 is None and kind != "none":
        yield NO_STAGE2


def _best(found: "SearchResult") -> str:
    from flagrank.offline.evaluation.tune import SPACE

    parameters = found.best.parameters.recorded()
    chosen = ", ".join(f"{name} {parameters[name]:g}" for name in SPACE)
    reached = f"NDCG@10 {found.best.ndcg:.4f} on folds, seeds {found.seed_spread:.4f} apart"
    return f"best of {len(found.trials)} trials: {chosen}: {reached}"


def _warn_if_collapsed(trained: "Factors") -> None:
    from flagrank.offline.training.als import effective_rank

    rank, dimension = effective_rank(trained), trained.item_factors.shape[1]
    if rank < min(MIN_EFFECTIVE_RANK, MIN_RANK_SHARE * dimension):
        warning = (
            f"warning: the item factors span {rank:.1f} of {dimension} directions, so everybody gets nearly the same "
            "list; these data want other parameters, such as less --regularization: --tune searches them"
        )
        stderr.print(warning, markup=False, soft_wrap=True)
