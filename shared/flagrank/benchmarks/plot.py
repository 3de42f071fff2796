"""One picture of a run, from its JSON: each peer's time over ours, and how the parts grow."""

from pathlib import Path
from typing import Any

from flagrank.benchmarks.results import OURS, Report, Row
from flagrank.errors import ConfigurationError

NAME = "benchmark.svg"
PEERS = {
    "retrieval": ("numpy", "implicit", "faiss flat"),
    "stage2": ("LightGBM, 1 thread",),
    "lexical": ("bm25s", "SQLite FTS5"),
    "cache": ("an item for each score",),
}
OURS_COLOUR, PEER_COLOUR = "#1b6ca8", "#8a8f98"


def draw(report: Report, folder: Path) -> Path:
    """Writes the picture into the folder, which is made, and gives its path.

    Raises ConfigurationError without matplotlib, or if nothing of the run can be drawn.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError("--plot needs matplotlib: the extra `report` brings it") from error
    bars, growth = _bars(report), _growth(report)
    if not bars and not growth:
        raise ConfigurationError("nothing of this run can be drawn: it has neither a peer nor a growth")
    figure = Figure(figsize=(11, 1.6 + 0.3 * max(len(bars), 8)), layout="constrained")
    FigureCanvasSVG(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_bars(left, bars)
    _draw_growth(right, growth)
    machine = report.machine
    figure.suptitle(f"flagrank {report.version}, {machine.cores} cores, {machine.processor}, {report.dated}", size=10)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    # neither a date nor random names: the same run gives the same picture
    with mpl.rc_context({"svg.hashsalt": "flagrank"}):
        figure.savefig(path, metadata={"Date": None})
    return path


def _bars(report: Report) -> list[tuple[str, float]]:
    return [
        (f"{row.contestant}: {row.case}", row.ratio)
        for measurement in report.measurements
        for row in measurement.rows
        if row.contestant in PEERS.get(measurement.name, ()) and row.ratio
    ]


def _growth(report: Report) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for measurement in report.measurements:
        if measurement.name == "growth":
            for row in measurement.rows:
                found.setdefault(row.contestant, []).append(row)
    return found


def _draw_bars(axes: Any, bars: list[tuple[str, float]]) -> None:
    names, ratios = [name for name, _ in bars], [ratio for _, ratio in bars]
    colours = [OURS_COLOUR if ratio >= 1 else PEER_COLOUR for ratio in ratios]
    axes.barh(names, ratios, color=colours, left=0)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)
    axes.set_xlabel(f"median CPU time over {OURS}'s (right of 1: {OURS} is faster)", size=8)
    for place, ratio in enumerate(ratios):
        axes.annotate(f" {ratio:.3g}", (max(ratio, 1), place), va="center", size=7)


def _draw_growth(axes: Any, growth: dict[str, list[Row]]) -> None:
    for what, rows in growth.items():
        sizes = [row.facts["size"] / rows[0].facts["size"] for row in rows]
        axes.plot(sizes, [row.ratio for row in rows], marker="o", label=what)
    axes.plot([1, 100], [1, 100], color="black", linewidth=0.8, linestyle=":", label="as much as the work")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.tick_params(labelsize=7)
    axes.set_xlabel("work, in times of the least", size=8)
    axes.set_ylabel("median time, in times of the least", size=8)
    axes.legend(fontsize=7)
