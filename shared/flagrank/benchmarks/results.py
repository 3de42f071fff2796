"""What a run of the benchmark found: the schema of its JSON."""

import math
import os
import platform
from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flagrank.benchmarks.timing import Times

OURS = "flagrank"

type Unit = Literal["ms", "ms CPU", "s", "MB"]


class Row(BaseModel):
    """One contestant in one case. `ratio` is its median over ours, or in a growth over the smallest size's.

    A peer that is not installed has no figures, and `missing` says what to install.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    case: str
    contestant: str
    unit: Unit = "ms"
    median: Annotated[float, Field(ge=0)] | None = None
    p99: Annotated[float, Field(ge=0)] | None = None
    rounds: Annotated[int, Field(ge=0)] = 0
    ratio: Annotated[float, Field(ge=0)] | None = None
    facts: dict[str, float] = {}
    missing: str | None = None

    @model_validator(mode="after")
    def _measured_or_missing(self) -> Self:
        if (self.median is None) == (self.missing is None):
            raise ValueError("a row is measured, or says why it is not")
        return self


class Measurement(BaseModel):
    """The rows of one measurement, how long it took, and the machine's load (1 min) at its beginning and end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str
    took_s: float
    load: tuple[float, float]
    rows: tuple[Row, ...]


class Machine(BaseModel):
    """Where it ran."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cores: int
    processor: str
    system: str
    python: str

    @classmethod
    def here(cls) -> Self:
        """This machine; the cores are those that this process may use."""
        return cls(
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            processor=platform.machine(),
            system=platform.system(),
            python=platform.python_version(),
        )


class Report(BaseModel):
    """One run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dated: str
    version: str
    machine: Machine
    took_s: float
    measurements: tuple[Measurement, ...]


def compared(
    case: str,
    times: Times,
    *,
    unit: Unit = "ms CPU",
    facts: Mapping[str, Mapping[str, float]] | None = None,
    missing: Mapping[str, str] | None = None,
) -> list[Row]:
    """A row for each contestant of `times`, which holds OURS, then one for each that is missing."""
    ours = float(np.median(times[OURS]))
    rows = [
        Row(
            case=case,
            contestant=name,
            unit=unit,
            median=float(np.median(values)),
            p99=float(np.percentile(values, 99)),
            rounds=len(values),
            ratio=float(np.median(values)) / ours if ours > 0 else None,
            facts=dict((facts or {}).get(name, {})),
        )
        for name, values in times.items()
    ]
    return rows + [Row(case=case, contestant=name, missing=why) for name, why in (missing or {}).items()]


def grown(what: str, sizes: Mapping[int, Times], *, unit: Unit = "ms CPU") -> list[Row]:
    """A row for each size of a growth, whose times are under OURS; each ratio is to the smallest size."""
    rows: list[Row] = []
    for size, times in sizes.items():
        (row,) = compared(f"{what} {size:,}", {OURS: times[OURS]}, unit=unit, facts={OURS: {"size": float(size)}})
        first = rows[0].median if rows else row.median
        ratio = row.median / first if row.median and first else math.nan
        rows.append(row.model_copy(update={"contestant": what, "ratio": ratio}))
    return rows
