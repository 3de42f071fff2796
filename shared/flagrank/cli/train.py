"""`flagrank train`."""

import datetime as dt
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flagrank.adapters.aws_errors import aws_errors
from flagrank.cli.output import JsonFlag, emit_json, progress_bar, stdout
from flagrank.intent import ITEM_TEXT_TOKENS

if TYPE_CHECKING:
    from flagrank.factors import Factors
    from flagrank.offline.two_stage import TrainingPlan

DataOption = Annotated[
    str, typer.Option(help="synthetic, a MovieLens 100K folder, or CSV: user_id,item_id[,rating][,timestamp].")
]
SplitOption = Annotated[str, typer.Option(help="MovieLens: train on SPLIT.base, evaluate on SPLIT.test.")]
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


def train(
    out: Annotated[Path, typer.Option(help="Folder for the artifact set; an earlier set there is replaced whole.")],
    data: DataOption = "synthetic",
    split: SplitOption = "ua",
    factors: Annotated[int | None, typer.Option(min=1, max=1024, help="Dimension of the factors.")] = None,
    regularization: Annotated[float | None, typer.Option(min=0)] = None,
    alpha: Annotated[float | None, typer.Option(min=1e-6, help="Confidence of one interaction.")] = None,
    rating_weight: Annotated[float | None, typer.Option(min=0, help="What a rating point adds to confidence.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    text_tokens: Annotated[
        int, typer.Option(min=1, max=64, help="Cap of an item's text in prompts.")
    ] = ITEM_TEXT_TOKENS,
    stage2: Stage2Option = Stage2Kind.BLEND,
    neighbours: Annotated[int | None, typer.Option(min=1, max=1000, help="Item neighbours that Stage 2 reads.")] = None,
    embedder: EmbedderOption = "none",
    tune: Annotated[
        bool, typer.Option("--tune", help="Search Stage 1's parameters first, on folds of the training data.")
    ] = False,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the search.")] = 40,
    study: Annotated[
        Path | None, typer.Option(help="Where the search keeps its trials, to be resumed. [default: OUT.tuning.jsonl]")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Train both stages and write them as an artifact set, ready for `flagrank publish`."""
    # imported here, so that `flagrank --help` does not wait for numpy and implicit
    from flagrank.offline import artifact_folder
    from flagrank.offline.neighbours import NeighbourParameters
    from flagrank.offline.train import AlsParameters
    from flagrank.offline.two_stage import TrainingPlan

    given = {
        "factors": factors,
        "regularization": regularization,
        "alpha": alpha,
        "rating_weight": rating_weight,
        "iterations": iterations,
        "seed": seed,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    plan = TrainingPlan(als=AlsParameters(**chosen, text_tokens=text_tokens), kind=stage2.value)
    if neighbours is not None:
        plan = replace(plan, neighbours=NeighbourParameters(count=neighbours))
    artifact_folder.check_replaceable(out)
    record: dict[str, Any] = {}
    if tune:
        plan, record = _tuned(data, split, plan, trials, study or out.with_name(f"{out.name}.tuning.jsonl"))
    trained = train_into(out, data, split, plan, embedder, record)
    items, users = len(trained.item_ids), len(trained.user_ids)
    if json:
        emit_json({"version": trained.version, "folder": str(out), "items": items, "users": users, **record})
    else:
        stdout.print(
            f"{trained.version}: {items} items, {users} users, {plan.als.factors} factors, in {out}", markup=False
        )


def train_into(
    out: Path,
    data: str,
    split: str,
    plan: "TrainingPlan",
    embedder: str = "none",
    record: dict[str, Any] | None = None,
) -> "Factors":
    """Trains on the data and saves the set in the folder, with `record`; gives the factors as they will be served."""
    from flagrank.artifacts import encode
    from flagrank.offline import artifact_folder
    from flagrank.offline.item_embeddings import embed_items
    from flagrank.offline.sources import read_dataset
    from flagrank.offline.two_stage import train_two_stages

    dataset = read_dataset(data, split)
    with progress_bar() as progress, aws_errors():
        embeddings = embed_items(dataset, embedder, progress)
        trained = train_two_stages(dataset, plan, embeddings, progress).factors
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    recorded = {"dataset": dataset.name, "embedder": embedder, **plan.recorded(), **(record or {})}
    artifact_folder.save(encode(trained, created=created, training=recorded), out)
    return artifact_folder.load(out)


def _tuned(
    data: str, split: str, plan: "TrainingPlan", trials: int, study: Path
) -> tuple["TrainingPlan", dict[str, Any]]:
    from flagrank.offline.sources import read_dataset
    from flagrank.offline.tune import search

    with progress_bar() as progress:
        found = search(read_dataset(data, split), plan.als, trials, study, progress)
    return replace(plan, als=found.best), {"tuning": found.document()}
