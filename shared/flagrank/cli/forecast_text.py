"""What a ramp's steps need, in words and for programs, and what to do about a step that cannot be told in time."""

import math
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from flagrank.delivery.analysis.formats import duration
from flagrank.delivery.analysis.measures import MEASURES, Metric
from flagrank.delivery.forecast import RecentTraffic, StepForecast
from flagrank.delivery.plan import RampPlan
from flagrank.flags.exposure import exposure_in_words

# so that a patience which is told is not used up by an estimate's error
SPARE = 1.5


def forecast_lines(plan: RampPlan, traffic: RecentTraffic, steps: Sequence[StepForecast]) -> Iterator[str]:
    """A line for the traffic and one for each step; under a step that cannot be told in time, what to do."""
    if traffic.per_s:
        yield f"{traffic.per_s:.3g} requests/s in the last {duration(traffic.seconds)}; a step without a fault takes:"
    else:
        yield "no traffic in the last hour, so nobody can tell how long a step takes; one without a fault takes:"
    for step in steps:
        yield f"{exposure_in_words(step.step)}: {_needs(step)}{_in_time(plan, step)}"
        if step.is_in_time is False:
            yield f"  {exposure_in_words(step.step)} cannot be told in time: {'; or '.join(_ways(step))}"


def forecast_document(traffic: RecentTraffic, steps: Sequence[StepForecast]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "requests_per_s": traffic.per_s,
        "window_s": traffic.seconds,
        "steps": [
            {
                "step": exposure_in_words(step.step),
                "treated_requests": step.requests,
                "seconds": step.seconds,
                "slowest": step.slowest,
                "is_in_time": step.is_in_time,
                "ways": list(_ways(step)) if step.is_in_time is False else [],
            }
            for step in steps
        ],
    }


def with_patience(arguments: Sequence[str], seconds: float) -> str:
    """The command of these arguments, with at least this patience."""
    kept = list(arguments)
    if "--patience" in kept:
        place = kept.index("--patience")
        del kept[place : place + 2]
    kept = [argument for argument in kept if not argument.startswith("--patience=")]
    return shlex.join(["flagrank", *kept, "--patience", _option_time(seconds)])


def _needs(step: StepForecast) -> str:
    if step.requests is None:
        return f"no number of requests is enough ({step.slowest})"
    waits_for = "" if step.slowest is Metric.REQUESTS else f", {step.slowest} last"
    takes = "" if step.seconds is None else f", {duration(step.seconds)}"
    return f"at least {step.requests} treated requests{waits_for}{takes}"


def _in_time(plan: RampPlan, step: StepForecast) -> str:
    if step.is_in_time is None:
        return ""
    patience = f"the patience of {duration(max(plan.patience_s, plan.bake_s))}"
    return f", within {patience}" if step.is_in_time else f", beyond {patience}"


def _ways(step: StepForecast) -> Iterator[str]:
    if step.seconds is not None:
        yield f"--patience {_option_time(SPARE * step.seconds)}"
    if step.larger_percent is not None:
        yield f"a step of {step.larger_percent:g} % in its place"
    option = next((measure.option for measure in MEASURES if measure.metric is step.slowest), None)
    if option is not None:
        yield f"a looser --{option.name.replace('_', '-')}"
    elif step.requests is None:
        yield f"a looser limit of {step.slowest}"


def _option_time(seconds: float) -> str:
    if seconds < 60:
        return f"{math.ceil(seconds)}s"
    return f"{math.ceil(seconds / 60)}m" if seconds < 7200 else f"{math.ceil(seconds / 3600)}h"
