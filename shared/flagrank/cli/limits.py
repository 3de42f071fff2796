"""How a ramp's pace and limits are written on the command line. The limits' options come from the table of measures."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from flagrank.delivery.analysis.limits import Limits
from flagrank.delivery.analysis.measures import MEASURES, Harm, Limit, LimitOption, Measure, Metric

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """A duration as people write it, `90s`, `10m` or `2h`, in seconds; raises BadParameter for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not like 90s, 10m or 2h")
    return float(found[1]) * UNITS_S[found[2]]


def interval(text: str) -> float:
    """A duration above zero, in seconds; raises BadParameter for anything else."""
    found_s = seconds(text)
    if found_s <= 0:
        raise typer.BadParameter(f"{text!r} is no time at all")
    return found_s


EveryOption = Annotated[Any, typer.Option(parser=interval, metavar="TIME", help="How often to look.")]


def limited(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of the table's limits, in place of its parameter `limits`."""
    opened = {measure.option.name: (measure, measure.option) for measure in MEASURES if measure.option is not None}
    shown: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        shown += [_parameter(*entry) for entry in opened.values()] if name == "limits" else [parameter]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        numbers = {measure.metric: values.pop(name) for name, (measure, _) in opened.items()}
        command(limits=_limits(numbers), **values)

    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [entry.replace(kind=inspect.Parameter.KEYWORD_ONLY) for entry in shown]
    )
    run.__annotations__ = {entry.name: entry.annotation for entry in shown}
    return run


def limits_summary(limits: Limits) -> str:
    """The limits in a line."""
    bounds = {measure.label: _bounds(measure, limits[measure.metric]) for measure in MEASURES}
    return "; ".join(f"{label} {bound}" for label, bound in bounds.items() if bound)


def limits_document(limits: Limits) -> dict[str, Any]:
    """The limits for programs."""
    document = asdict(limits)
    del document["by_metric"]
    return {measure.limit_name: asdict(limits[measure.metric]) for measure in MEASURES} | document


def _parameter(measure: Measure, option: LimitOption) -> inspect.Parameter:
    def amount(text: str) -> float:
        try:
            number = float(text)
        except ValueError as error:
            raise typer.BadParameter(f"{text!r} is not a number") from error
        if not 0 <= number <= measure.format.most:
            raise typer.BadParameter(f"{text!r} is not in 0 to {measure.format.most:g}")
        return measure.format.kept(number)

    usual = option.value(measure.limit)
    shown = typer.Option(parser=amount, metavar=measure.format.metavar, help=option.help)
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[Any, shown],
        default=None if usual is None else measure.format.number(usual),
    )


def _limits(numbers: Mapping[Metric, float | None]) -> Limits:
    limits: dict[Metric, Limit] = {}
    for measure in MEASURES:
        if measure.option is not None:
            limits[measure.metric] = measure.option.applied(measure.limit, numbers[measure.metric])
    return Limits(limits)


def _bounds(measure: Measure, limit: Limit) -> str:
    lost = " lost" if measure.harm is Harm.LOSS else ""
    against = [] if limit.absolute is None else [f"{measure.format.exact(limit.absolute)}{lost} against control"]
    ceiling = [] if limit.ceiling is None else [f"{measure.format.exact(limit.ceiling)} in all"]
    floor = [] if limit.floor is None else [f"at least {measure.format.exact(limit.floor)}"]
    return " and ".join(against + ceiling + floor)
