"""`flagrank bench`: how fast it is, beside libraries that do the same, on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagrank.cli.output import stderr, stdout
from flagrank.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from flagrank.benchmarks.results import Measurement, Report, Row


def bench(
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this measurement; may be given several times.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was found as JSON.", dir_okay=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw it into this folder, from its JSON.", file_okay=False)
    ] = None,
    read: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Measure nothing: show and draw an earlier run's JSON."),
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="At tiny sizes, which say nothing but that it works.")] = False,
) -> None:
    """How fast Flagrank is, beside its peers in the same run: medians, 99th percentiles and ratios.

    A peer that is not installed is a row that says so; `uv run --extra bench flagrank bench` brings them all. A whole
    run takes less than ten minutes on two cores. Other work on the machine moves times, and ratios much less.
    """
    if read is not None and (only or json):
        raise ConfigurationError("--from shows an earlier run, and measures nothing: leave out --only and --json")
    report = _read(read) if read is not None else _measure(only or [], tiny)
    for line in _lines(report):
        stdout.print(line, markup=False)
    if json is not None:
        _write(json, report.model_dump_json(by_alias=True, indent=1))
    if plot is not None:
        from flagrank.benchmarks.plot import draw

        stderr.print(f"drawn: {draw(report, plot)}", markup=False, soft_wrap=True)


def _measure(only: list[str], tiny: bool) -> "Report":
    from flagrank.benchmarks.run import MEASUREMENTS, run

    unknown = [name for name in only if name not in MEASUREMENTS]
    if unknown:
        raise ConfigurationError(f"--only {unknown[0]}: there are {', '.join(MEASUREMENTS)}")
    names = [name for name in MEASUREMENTS if not only or name in only]
    return run(names, lambda name: stderr.print(f"measuring {name}", markup=False), tiny=tiny)


def _read(path: Path) -> "Report":
    from pydantic import ValidationError

    from flagrank.benchmarks.results import Report

    try:
        return Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(str(path), None, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DataError(str(path), None, f"is no run of this version: {error.errors()[0]['loc']}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n")
    except OSError as error:
        raise DataError(str(path), None, f"cannot be written: {error.strerror}") from error


def _lines(report: "Report") -> Iterator[str]:
    machine = report.machine
    yield (
        f"flagrank {report.version}, {report.dated}: {machine.cores} cores, {machine.processor}, Python "
        f"{machine.python}, {report.took_s:.0f} s"
    )
    for measurement in report.measurements:
        yield ""
        yield f"{measurement.name}: {measurement.about}"
        yield f"  {measurement.took_s:.0f} s, load {measurement.load[0]:.1f} to {measurement.load[1]:.1f}"
        yield from _table(measurement)


def _table(measurement: "Measurement") -> Iterator[str]:
    yield f"  {'':44} {'':28} {'median':>10} {'p99':>10} {'ratio':>8}"
    for row in measurement.rows:
        name = f"  {row.case:44.44} {row.contestant:28.28}"
        yield f"{name} {_figures(row)}" if row.missing is None else f"{name} {row.missing}"


def _figures(row: "Row") -> str:
    assert row.median is not None
    assert row.p99 is not None
    ratio = f"{row.ratio:8.2f}" if row.ratio is not None else f"{'':8}"
    facts = ", ".join(f"{name} {value:.4g}" for name, value in row.facts.items())
    return f"{row.median:10.3f} {row.p99:10.3f} {ratio} {row.unit}  {facts}".rstrip()
