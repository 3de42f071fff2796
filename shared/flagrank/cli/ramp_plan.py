"""What a ramp would do, before it does it, and what to run after one that was held."""

import time
from collections.abc import Sequence
from typing import Any

from flagrank.cli.change import version_name
from flagrank.cli.forecast_text import forecast_document, forecast_lines, with_patience
from flagrank.cli.limits import limits_document, limits_summary
from flagrank.cli.target import Target
from flagrank.delivery.deployments import DeployedFlag
from flagrank.delivery.forecast import forecast, recent_traffic
from flagrank.delivery.plan import RampPlan
from flagrank.delivery.ramp_report import Ending, RampReport
from flagrank.errors import CloudError
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure_in_words

# for programs, and in lines for people
type Told = tuple[dict[str, Any] | None, list[str]]


def plan_shown(
    plan: RampPlan,
    deployed: DeployedFlag,
    steps: Sequence[FlagDocument],
    told: Told,
) -> tuple[dict[str, Any], str]:
    """What a ramp would do, for programs and for people; `told` is its forecast."""
    names = [exposure_in_words(step) for step in steps]
    document = {
        "changed": False,
        "version": version_name(deployed),
        "plan": names,
        "bake_s": plan.bake_s,
        "every_s": plan.observe_every_s,
        "patience_s": plan.patience_s,
        "limits": limits_document(plan.limits),
        "forecast": told[0],
    }
    bake = f"{plan.bake_s:g} s each at least"
    pace = f"{bake}, observed every {plan.observe_every_s:g} s, left without a verdict after {plan.patience_s:g} s"
    lines = [f"{', '.join(names)}; {pace}", f"limits: {limits_summary(plan.limits)}", *told[1]]
    return document, "\n".join(lines)


def forecast_of(plan: RampPlan, steps: Sequence[FlagDocument], target: Target) -> Told:
    """What each step needs, for programs and in lines; None and why if the traffic is not known."""
    try:
        traffic = recent_traffic(target.figures(), time.time())
    except CloudError as error:
        return None, [f"how long the steps take is not known: {error}"]
    told = forecast(plan, steps, traffic)
    return forecast_document(traffic, told), list(forecast_lines(plan, traffic, told))


def next_command(report: RampReport, plan: RampPlan, arguments: Sequence[str]) -> str | None:
    """What to run after a ramp that was held: the same command, with more patience where its step had no verdict."""
    if report.ending is not Ending.HELD:
        return None
    more_s = report.observation.more_s if report.observation else None
    patience_s = max(plan.patience_s, plan.bake_s)
    command = with_patience(arguments, patience_s if more_s is None else max(patience_s, 1.5 * more_s))
    return f"`{command}` goes on from there, `flagrank rollout watch` looks, `flagrank rollout off` gives it up"
