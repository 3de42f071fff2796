"""`flagrank train`."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from flagrank.cli.output import JsonFlag, emit_json, stdout, training_progress
from flagrank.intent import ITEM_TEXT_TOKENS

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
    alpha: Annotated[float | None, typer.Option(min=0, help="Confidence of one interaction.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    text_tokens: Annotated[
        int, typer.Option(min=1, max=64, help="Cap of an item's text in prompts.")
    ] = ITEM_TEXT_TOKENS,
    json: JsonFlag = False,
) -> None:
    """Train ALS factors and write them as an artifact set, ready for `flagrank publish`."""
    # imported here, so that `flagrank --help` does not wait for numpy and implicit
    from flagrank.artifacts import MANIFEST, encode, parse_manifest
    from flagrank.offline import artifact_folder
    from flagrank.offline import train as training
    from flagrank.offline.sources import read_dataset

    given = {
        "factors": factors,
        "regularization": regularization,
        "alpha": alpha,
        "iterations": iterations,
        "seed": seed,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    parameters = training.AlsParameters(**chosen, text_tokens=text_tokens)
    artifact_folder.check_replaceable(out)
    dataset = read_dataset(data, split)
    with training_progress(parameters.iterations) as progress:
        trained = training.train(dataset, parameters, progress)
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    files = encode(trained, created=created, training={"dataset": dataset.name, **parameters.recorded()})
    artifact_folder.save(files, out)
    manifest = parse_manifest(files[MANIFEST])
    items, users = len(trained.item_ids), len(trained.user_ids)
    if json:
        emit_json({"version": manifest.version, "folder": str(out), "items": items, "users": users})
    else:
        stdout.print(
            f"{manifest.version}: {items} items, {users} users, {parameters.factors} factors, in {out}", markup=False
        )
