"""The option `--data`, and the reader for each kind of data."""

from pathlib import Path

from flagrank.errors import DataError
from flagrank.offline.data import movielens, synthetic, tabular
from flagrank.offline.data.interactions import SYNTHETIC, Dataset


def read_dataset(data: str, split: str = movielens.DEFAULT_SPLIT) -> Dataset:
    """The dataset: `synthetic`, a MovieLens 100K folder (its SPLIT.base and SPLIT.test), or CSV; raises DataError."""
    path = Path(data)
    if data != SYNTHETIC and not path.exists():
        raise DataError(data, None, "no such file or folder; give 'synthetic', a MovieLens 100K folder or a CSV")
    if data != SYNTHETIC and (path / movielens.ITEMS).exists():
        return movielens.read(path, split)
    if split != movielens.DEFAULT_SPLIT:
        raise DataError(data, None, f"has no split {split!r}: --split is for MovieLens 100K's folder alone")
    if data == SYNTHETIC:
        return synthetic.generate()
    return tabular.read(path)
