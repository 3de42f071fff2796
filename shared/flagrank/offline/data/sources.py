"""The option `--data`, and the reader for each kind of data."""

from dataclasses import replace
from pathlib import Path

from flagrank.errors import DataError
from flagrank.offline.data import movielens, remote, synthetic, tabular
from flagrank.offline.data.column_names import Reading
from flagrank.offline.data.interactions import SYNTHETIC, Dataset

KINDS = "'synthetic', a MovieLens 100K folder, a file or folder of interactions, or s3://BUCKET/KEY"


def read_dataset(data: str, split: str = movielens.DEFAULT_SPLIT, reading: Reading | None = None) -> Dataset:
    """The dataset: `synthetic`, a MovieLens 100K folder (SPLIT.base and SPLIT.test), files, or S3; raises DataError."""
    if remote.is_remote(data):
        from flagrank.adapters import aws_clients

        with remote.fetched(data, aws_clients.files_client()) as fetched:
            return _read(fetched, data, split, reading)
    if data == SYNTHETIC:
        _refuse_options(data, split, reading)
        return synthetic.generate()
    if not Path(data).exists():
        raise DataError(data, None, f"no such file or folder; give {KINDS}")
    return _read(Path(data), data, split, reading)


def _read(path: Path, data: str, split: str, reading: Reading | None) -> Dataset:
    if (path / movielens.ITEMS).exists():
        _refuse_options(data, movielens.DEFAULT_SPLIT, reading)
        return movielens.read(path, split)
    _refuse_options(data, split, None)
    try:
        dataset = tabular.read(path, reading)
    except DataError as error:
        # not where it was fetched to, but where it lies
        raise DataError(error.file.replace(str(path), data.rstrip("/")), error.line, error.expected) from error
    return replace(dataset, notes=tuple(note.replace(str(path), data.rstrip("/")) for note in dataset.notes))


def _refuse_options(data: str, split: str, reading: Reading | None) -> None:
    if split != movielens.DEFAULT_SPLIT:
        raise DataError(data, None, f"has no split {split!r}: --split is for MovieLens 100K's folder alone")
    if reading is not None and (reading.columns or reading.weights):
        raise DataError(data, None, "its columns are known: --columns and --weights are for other files")
