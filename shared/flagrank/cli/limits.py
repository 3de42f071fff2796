"""How a ramp's pace and limits are written on the command line, with the judge's own as defaults."""

import math
import re
from dataclasses import replace
from typing import Annotated, Any

import typer

from flagrank.delivery.analysis.limits import Limit, Limits

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
MICRO_USD = 1000.0
USUAL = Limits()
ERRORS = f"{100 * (USUAL.errors.absolute or 0):g}"
FALLBACKS = f"{100 * (USUAL.fallbacks.absolute or 0):g}"
LATENCY_MS = f"{USUAL.p95_ms.absolute or 0:g}"
USD_PER_THOUSAND = f"{(USUAL.cost_micro_usd.ceiling or 0) / MICRO_USD:g}"


def seconds(text: str) -> float:
    """A duration as people write it, `90s`, `10m` or `2h`, in seconds; raises BadParameter for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not like 90s, 10m or 2h")
    return float(found[1]) * UNITS_S[found[2]]


def interval(text: str) -> float:
    """A duration above nought, in seconds; raises BadParameter for anything else."""
    found_s = seconds(text)
    if found_s <= 0:
        raise typer.BadParameter(f"{text!r} is no time at all")
    return found_s


def percent(text: str) -> float:
    """A share in percent; raises BadParameter for anything beyond 0..100."""
    return _number(text, 100.0)


def amount(text: str) -> float:
    """A number that is not below nought; raises BadParameter for anything else."""
    return _number(text, math.inf)


def _number(text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a number") from error
    if not 0 <= number <= most:
        raise typer.BadParameter(f"{text!r} is not in 0 to {most:g}")
    return number


EveryOption = Annotated[Any, typer.Option(parser=interval, metavar="TIME", help="How often to look.")]
ErrorsOption = Annotated[
    Any, typer.Option(parser=percent, metavar="PERCENT", help="How many more of the treated requests may fail.")
]
FallbacksOption = Annotated[
    Any, typer.Option(parser=percent, metavar="PERCENT", help="How many more of the treated requests may fall back.")
]
LatencyOption = Annotated[
    Any, typer.Option(parser=amount, metavar="MS", help="How far the treated p95 may be above the control's.")
]
CostOption = Annotated[
    Any, typer.Option(parser=amount, metavar="USD", help="What a thousand treated requests may cost.")
]
ClicksOption = Annotated[
    Any,
    typer.Option(
        parser=percent,
        metavar="PERCENT",
        help="How many of a hundred lists may lose their click. Not judged without it; your code publishes the clicks.",
    ),
]


def limits_asked(errors: float, fallbacks: float, latency_ms: float, usd: float, lost_clicks: float | None) -> Limits:
    """The usual limits but for what was asked; shares in percent, of a thousand requests in USD."""
    return replace(
        USUAL,
        errors=replace(USUAL.errors, absolute=errors / 100),
        fallbacks=replace(USUAL.fallbacks, absolute=fallbacks / 100),
        p95_ms=replace(USUAL.p95_ms, absolute=latency_ms),
        cost_micro_usd=Limit(ceiling=usd * MICRO_USD),
        clicks=Limit(absolute=None if lost_clicks is None else lost_clicks / 100),
    )


def limits_said(limits: Limits) -> str:
    """The limits in a line."""
    bounds = {
        "errors": _bounds(limits.errors, 100, " %"),
        "fallbacks": _bounds(limits.fallbacks, 100, " %"),
        "timeouts": _bounds(limits.timeouts, 100, " %"),
        "malformed": _bounds(limits.malformed, 100, " %"),
        "p95": _bounds(limits.p95_ms, 1, " ms"),
        "cost per 1,000": _bounds(limits.cost_micro_usd, 1 / MICRO_USD, " USD"),
        "clicks": _bounds(limits.clicks, 100, " % lost"),
    }
    return "; ".join(f"{name} {said}" for name, said in bounds.items() if said)


def _bounds(limit: Limit, scale: float, unit: str) -> str:
    against = [] if limit.absolute is None else [f"{scale * limit.absolute:g}{unit} against control"]
    return " and ".join(against + ([] if limit.ceiling is None else [f"{scale * limit.ceiling:g}{unit} in all"]))
