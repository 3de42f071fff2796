"""The measurements by name, and a run of some of them."""

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata

from flagrank.benchmarks.results import Machine, Measurement, Report, Row

# a measurement by its name, and how many there are
type Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A measurement: the module that has `measure`, and what it measures."""

    module: str
    about: str


MEASUREMENTS = {
    "retrieval": Entry("retrieval", "top 100 of one user, 200 seen items masked"),
    "stage2": Entry("stage2", "Stage 2's order of 200 candidates"),
    "lexical": Entry("lexical", "top 100 texts for two words"),
    "start": Entry("start", "process start to first answer"),
    "request": Entry("request", "one request through the handler, in process"),
    "cache": Entry("cache", "one intent's scores from DynamoDB"),
    "rerank": Entry("rerank", "a rerank that no cache knows, within its budget"),
    "publish": Entry("publish", "a set to S3, and back into memory"),
    "growth": Entry("growth", "the same as its work grows tenfold"),
}


def run(names: Sequence[str], tell: Told, *, tiny: bool = False) -> Report:
    """Measures each of these in turn. Raises KeyError for a name that is not among MEASUREMENTS."""
    entries = {name: MEASUREMENTS[name] for name in names}
    began_s = time.monotonic()
    measured = []
    for name, entry in entries.items():
        tell(name)
        measured.append(_measured(name, entry, tiny))
    return Report(
        dated=dt.datetime.now(dt.UTC).date().isoformat(),
        version=metadata.version("flagrank"),
        machine=Machine.here(),
        took_s=time.monotonic() - began_s,
        measurements=tuple(measured),
    )


def _measured(name: str, entry: Entry, tiny: bool) -> Measurement:
    # each brings its own libraries: who measures one thing does not wait for the others'
    measure: Callable[[bool], Iterator[Row]] = import_module(f"flagrank.benchmarks.{entry.module}").measure
    began_s, load = time.monotonic(), os.getloadavg()[0]
    rows = tuple(measure(tiny))
    took_s = time.monotonic() - began_s
    return Measurement(name=name, about=entry.about, took_s=took_s, load=(load, os.getloadavg()[0]), rows=rows)
