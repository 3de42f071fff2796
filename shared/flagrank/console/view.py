"""The state in words and places, as the page's template shows it. Pure."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flagrank.console.state import State
from flagrank.delivery.analysis.counts import Arms
from flagrank.delivery.analysis.formats import duration
from flagrank.delivery.analysis.measures import MEASURES, REQUESTS, STALE, USERS, Metric
from flagrank.delivery.analysis.verdict import MetricResult, Outcome
from flagrank.delivery.deployments import Deployment
from flagrank.flags.exposure import exposure_in_words, treated_percent

# a bar ends at one and a half limits; what must not sink has its limit at a third
WIDTH, LIMIT_AT, FLOOR_AT = 150.0, 100.0, 50.0
NARROWEST = 3.0
NO_DATA = "-"
OUTCOMES = {Outcome.PASS: "pass", Outcome.FAIL: "fail", Outcome.INCONCLUSIVE: "hold"}


@dataclass(frozen=True, slots=True)
class MeasureView:
    """One comparison: what it is called, where its bar and limit lie (0..150), and its verdict and sentence."""

    name: str
    outcome: str
    verdict: str
    sentence: str
    low: float = 0.0
    width: float = 0.0
    limit_at: float = 0.0


def rollout_view(state: State, propagation_s: float) -> dict[str, Any]:
    """Everything that the live part of the page shows."""
    seen = state.observation
    arms = seen.arms if seen is not None and (seen.arms.treatment.requests or seen.arms.control.requests) else None
    verdict = seen.verdict if seen is not None and arms is not None else None
    return {
        "state": state,
        "headline": _headline(state),
        "outcome": OUTCOMES[verdict.outcome] if verdict else "",
        "now_line": _now(state),
        "ladder": list(_ladder(state)),
        "about": list(_about(state, propagation_s)),
        "measures": [measure_view(result) for result in verdict.results] if verdict else [],
        "causes": verdict.causes if verdict else (),
        "arms": list(_arms(arms)) if arms else [],
        "counted": f"counted for {seen.counted_s:.0f} s" if seen else "",
        "history": [_entry(entry) for entry in state.history],
        "read_at": _clock(state.at_s),
        "read_iso": _iso(state.at_s),
    }


def measure_view(result: MetricResult) -> MeasureView:
    """A comparison with its bar; without data, or for a limit of 0, it has none."""
    bound = "at least" if result.is_floor else "in all" if result.is_ceiling else "against control"
    has_limit = result.limit is not None and result.metric is not Metric.SPLIT
    name = f"{result.label}, {bound}" if has_limit else result.label
    verdict, outcome = result.outcome.value, OUTCOMES[result.outcome]
    if result.low is None or result.high is None or result.treatment is None or not result.limit:
        return MeasureView(name, outcome, verdict, result.sentence)
    limit_at = FLOOR_AT if result.is_floor else LIMIT_AT
    low, high = (min(max(limit_at * end / result.limit, 0.0), WIDTH) for end in (result.low, result.high))
    low = min(low, WIDTH - NARROWEST)
    width = round(max(high - low, NARROWEST), 1)
    return MeasureView(name, outcome, verdict, result.sentence, round(low, 1), width, limit_at)


def _headline(state: State) -> str:
    document = state.deployed.document
    if document is None:
        return "unreadable" if state.deployed.unreadable else "nothing is deployed"
    words = exposure_in_words(document)
    return f"off ({document.percent:g} % once it is on)" if words == "off" else f"{words} of the users are treated"


def _now(state: State) -> str:
    seen = state.observation
    if seen is None:
        return "No figures."
    if not seen.arms.treatment.requests:
        return "No treated request yet."
    outcome = seen.verdict.outcome
    if outcome is Outcome.FAIL:
        names = ", ".join(dict.fromkeys(result.metric for result in seen.verdict.reasons))
        return f"Beyond a limit: {names}."
    if outcome is Outcome.PASS:
        return f"All within limits, but {seen.blocked}." if seen.blocked else "All within limits."
    more, more_s = seen.verdict.more_requests, seen.more_s
    if more is None or more_s is None:
        return "No verdict yet, and nobody can tell how long it takes."
    return f"No verdict yet: about {more} more treated requests, {duration(more_s)} at this rate."


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the ladder: its name, its place (done, current, ahead), and that in words."""

    name: str
    place: str
    said: str


def _ladder(state: State) -> Iterator[Step]:
    now = treated_percent(state.deployed.document) if state.deployed.document else 0.0
    said = {"done": "passed", "current": "in force", "ahead": "to come"}
    for percent in state.ladder:
        place = "current" if percent == now else "done" if percent < now else "ahead"
        yield Step(f"{percent:g} %", place, said[place])


def _about(state: State, propagation_s: float) -> Iterator[str]:
    current, busy = state.deployed.deployment, state.deployed.in_flight
    if current is not None:
        yield f"{current.name} since {_clock(current.started_at_s)}: {current.record.render()}"
    if busy is not None:
        yield f"in flight: {busy.progress(state.at_s)}"
    if state.lease is not None:
        yield state.lease.words
    if state.alarm is not None:
        yield f"the alarm {state.alarm} fires"
    document = state.deployed.document
    if document is not None and document.mode == "shadow":
        yield "The mode is shadow: the LLM is asked and everyone is served the baseline."
    yield f"A change reaches every environment within {propagation_s:g} s."


def _arms(arms: Arms) -> Iterator[tuple[str, str, str]]:
    both = (arms.treatment, arms.control)
    for count in (REQUESTS, USERS, STALE):
        treatment, control = (f"{arm[count.name]:.0f}" for arm in both)
        yield count.name, treatment, control
    for measure in MEASURES:
        values = [measure.observed(arm) for arm in both]
        treatment, control = (NO_DATA if value is None else measure.format.rounded(value) for value in values)
        yield measure.label, treatment, control


def _entry(entry: Deployment) -> dict[str, str]:
    summary = entry.record.summary
    reason = entry.record.reason
    change = summary.removesuffix(f" ({reason})") if reason else summary
    return {
        "name": entry.name,
        "iso": entry.started_at.isoformat(timespec="seconds"),
        "at": f"{entry.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "actor": entry.record.actor or "somebody",
        "change": change,
        "reason": reason,
        "state": "" if entry.state == "COMPLETE" else entry.state,
    }


def _clock(at_s: float) -> str:
    return f"{dt.datetime.fromtimestamp(at_s, dt.UTC):%H:%M:%S} UTC"


def _iso(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="seconds")
