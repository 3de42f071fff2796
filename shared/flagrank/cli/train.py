"""`flagrank train`."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flagrank.cli.output import JsonFlag, emit_json, stdout, training_progress
from flagrank.intent import ITEM_TEXT_TOKENS

if TYPE_CHECKING:
    from flagrank.factors import Factors
    from flagrank.offline.train import AlsParameters

DataOption = Annotated[
    str, typer.Option(help="synthetic, a MovieLens 100K folder, or CSV: user_id,item_id[,rating][,timestamp].")
]
SplitOption = Annotated[str, typer.Option(help="MovieLens: train on SPLIT.base, evaluate on SPLIT.test.")]


def train(
    out: Annotated[Path, typer.Option(help="Folder for the artifact set; an earlier set there is replaced whole.")],
    data: DataOption = "synthetic",
    split: SplitOption = "ua",
    factors: Annotated[int | None, typer.Option(min=1, max=1024, help="Dimension of the factors.")] = None,
    regularization: Annotated[float | None, typer.Option(min=0)] = None,
    alpha: Annotated[float | None, typer.Option(min=1e-6, help="Confidence of one interaction.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    text_tokens: Annotated[
        int, typer.Option(min=1, max=64, help="Cap of an item's text in prompts.")
    ] = ITEM_TEXT_TOKENS,
    json: JsonFlag = False,
) -> None:
    """Train ALS factors and write them as an artifact set, ready for `flagrank publish`."""
    # imported here, so that `flagrank --help` does not wait for numpy and implicit
    from flagrank.offline import artifact_folder
    from flagrank.offline.train import AlsParameters

    given = {
        "factors": factors,
        "regularization": regularization,
        "alpha": alpha,
        "iterations": iterations,
        "seed": seed,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    parameters = AlsParameters(**chosen, text_tokens=text_tokens)
    artifact_folder.check_replaceable(out)
    trained = train_into(out, data, split, parameters)
    items, users = len(trained.item_ids), len(trained.user_ids)
    if json:
        emit_json({"version": trained.version, "folder": str(out), "items": items, "users": users})
    else:
        stdout.print(
            f"{trained.version}: {items} items, {users} users, {parameters.factors} factors, in {out}", markup=False
        )


def train_into(out: Path, data: str, split: str, parameters: "AlsParameters") -> "Factors":
    """Trains on the data and saves the set in the folder; gives the factors as they will be served."""
    from flagrank.artifacts import encode
    from flagrank.offline import artifact_folder
    from flagrank.offline import train as training
    from flagrank.offline.sources import read_dataset

    dataset = read_dataset(data, split)
    with training_progress(parameters.iterations) as progress:
        trained = training.train(dataset, parameters, progress)
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    recorded = {"dataset": dataset.name, **parameters.recorded()}
    artifact_folder.save(encode(trained, created=created, training=recorded), out)
    return artifact_folder.load(out)
