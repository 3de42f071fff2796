"""The options that say which interactions, shared by every command that trains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flagrank.cli.output import stderr

if TYPE_CHECKING:
    from flagrank.offline.data.interactions import Dataset


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Which data: each field is an option (see `with_option_groups`)."""

    data: Annotated[
        str,
        typer.Option(
            help="synthetic, a MovieLens 100K folder, s3://BUCKET/KEY, or a file or folder of interactions: CSV, TSV, "
            "JSON lines or Parquet."
        ),
    ] = "synthetic"
    split: Annotated[str, typer.Option(help="MovieLens: train on SPLIT.base, evaluate on SPLIT.test.")] = "ua"
    columns: Annotated[
        str | None,
        typer.Option(metavar="user=NAME,item=NAME", help="Columns without a usual name; time, rating, event likewise."),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="view=1,cart=3", help="What each type of event counts; types without a weight are left out."
        ),
    ] = None

    def read(self) -> "Dataset":
        """The dataset, with what was ignored or converted said on standard error; raises DataError."""
        from flagrank.offline.data.column_names import Reading, parse_columns, parse_weights
        from flagrank.offline.data.sources import read_dataset

        columns = parse_columns(self.columns) if self.columns else {}
        weights = parse_weights(self.weights) if self.weights else {}
        dataset = read_dataset(self.data, self.split, Reading(columns, weights))
        for note in dataset.notes:
            stderr.print(f"note: {note}", markup=False, soft_wrap=True)
        return dataset

    def recorded(self) -> dict[str, Any]:
        """What a manifest keeps of how files were read."""
        given = {"columns": self.columns, "weights": self.weights}
        return {name: value for name, value in given.items() if value is not None}
