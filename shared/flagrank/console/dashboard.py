"""CloudWatch's dashboard, drawn from its own JSON over the figures of a local cloud. Pure."""

import ast
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

type Floats = npt.NDArray[np.float64]

WIDTH, HEIGHT = 600.0, 160.0
SHOWN_S = 900.0
OPERATORS: Mapping[type[ast.operator], Callable[[Floats, Floats], Floats]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a graph: its points as SVG writes them, in pieces where data are missing, and its newest value."""

    label: str
    pieces: Sequence[str]
    newest: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """One widget: the unit of its left axis and the axis's highest value, empty without data, and its lines."""

    title: str
    unit: str
    highest: str
    lines: Sequence[Line]


def graphs(body: str, figures: Mapping[str, Any], now_s: float) -> list[Graph]:
    """The metric widgets of a dashboard's JSON over figures by step (`rows`, `step_s`), of the last quarter hour."""
    step_s = figures["step_s"]
    first_s = (now_s - SHOWN_S) // step_s * step_s
    # the newest step is not over yet
    axis = np.arange(first_s, now_s - step_s, step_s)
    found = {(row["service"], row["arm"], row["at_s"]): row for row in figures["rows"]}
    widgets = [widget["properties"] for widget in json.loads(body)["widgets"] if widget["type"] == "metric"]
    return [_graph(widget, found, axis) for widget in widgets]


def _graph(widget: Mapping[str, Any], found: Mapping[Any, Any], axis: Floats) -> Graph:
    values = {entry[-1]["id"]: _read(entry, found, axis) for entry in widget["metrics"] if "stat" in entry[-1]}
    # sums are of one step, and the widget's are of its own period
    steps = widget["period"] / (axis[1] - axis[0])
    values |= {
        entry[-1]["id"]: steps * values[entry[-1]["id"]]
        for entry in widget["metrics"]
        if entry[-1].get("stat") == "Sum"
    }
    shown: list[tuple[str, Floats, bool]] = []
    for options in (entry[-1] for entry in widget["metrics"]):
        if options.get("visible", True):
            expression = options.get("expression", options["id"])
            shown.append((options["label"], evaluate(expression, values), options.get("yAxis") == "right"))
    left = widget["yAxis"]["left"]
    ends = [float(np.nanmax(series)) for _, series, is_right in shown if not is_right and not np.isnan(series).all()]
    low, high = float(left.get("min", 0)), float(left.get("max", max(ends, default=1.0) or 1.0))
    lines = [
        Line(label, list(_pieces(series, *((0.0, 100.0) if is_right else (low, high)))), _newest(series), is_right)
        for label, series, is_right in shown
    ]
    return Graph(widget["title"], left["label"], f"{high:.3g}" if ends else "", lines)


def _read(entry: Sequence[Any], found: Mapping[Any, Any], axis: Floats) -> Floats:
    """The values of a metric that a widget names: `[namespace, metric, dimension, value, ..., options]`."""
    dimensions = dict(zip(entry[2:-1:2], entry[3:-1:2], strict=True))
    source = (dimensions.get("service", ""), dimensions.get("arm", ""))
    rows = [found.get((*source, at_s), {}) for at_s in axis.tolist()]
    return np.array([row.get(entry[-1]["stat"], {}).get(entry[1], math.nan) for row in rows], np.float64)


def evaluate(expression: str, values: Mapping[str, Floats]) -> Floats:
    """The value of a metric math expression: arithmetic and `FILL(series, number)`, of which no more is used.

    Raises ValueError for anything else. What is divided by nothing has no value.
    """

    def value(node: ast.expr) -> Floats:
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            with np.errstate(divide="ignore", invalid="ignore"):
                told = OPERATORS[type(node.op)](value(node.left), value(node.right))
            return np.where(np.isfinite(told), told, math.nan)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return np.array(float(node.value))
        if isinstance(node, ast.Name) and node.id in values:
            return values[node.id]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "FILL":
            series, filling = (value(argument) for argument in node.args)
            return np.where(np.isnan(series), filling, series)
        raise ValueError(f"not understood: {expression}")

    return value(ast.parse(expression, mode="eval").body)


def _pieces(series: Floats, low: float, high: float) -> Iterator[str]:
    points: list[str] = []
    for place, value in enumerate(series.tolist()):
        if math.isnan(value):
            if points:
                yield " ".join(points)
            points = []
            continue
        x = WIDTH * place / max(len(series) - 1, 1)
        y = HEIGHT * (1 - min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0))
        points.append(f"{x:.1f},{y:.1f}")
    if points:
        yield " ".join(points)


def _newest(series: Floats) -> str:
    known = series[~np.isnan(series)]
    return f"{known[-1]:.3g}" if len(known) else "-"
