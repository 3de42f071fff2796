"""What an operator may do on the console: what each action would change, and doing it. Pure but for the ports."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from flagrank.console.state import Ports, State
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment, in_force
from flagrank.delivery.lease import Lease
from flagrank.delivery.rollback import is_off, rollback_target, switch_off, switched_off
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument, changed
from flagrank.flags.exposure import exposure, exposure_in_words, lowers_exposure, raises_exposure

SEARCHED = 50
# a ramp renews its lease more often than that, unless it observes seldom
PAUSED_S = 900


class Action(StrEnum):
    """What an operator may do."""

    PERCENT = "percent"
    PAUSE = "pause"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Plan:
    """An action on the flag as it was read: what it is called, what will happen, and how to do it.

    `change` is how the record names it. `number` is the deployment that it was planned on; `do` takes the record.
    """

    action: Action
    title: str
    change: str
    effects: Sequence[str]
    number: int
    do: Callable[[ChangeRecord], str]
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """Who changes the flag here, and what identifies this console among those who hold a lease."""

    actor: str
    holder: str
    host: str
    pid: int


def plan(action: Action, percent: float | None, ports: Ports, state: State, operator: Operator) -> Plan:
    """What an action would do; raises RolloutRefused or ConfigurationError if it cannot be done."""
    if action is Action.PAUSE:
        return _pause(ports, state, operator)
    if action is Action.OFF:
        return _off(ports, state)
    if action is Action.ROLLBACK:
        return _rollback(ports, state)
    if action is Action.PROMOTE:
        return _promote(ports, state)
    document, _ = in_force(state.deployed)
    if percent is None:
        raise ConfigurationError("say a percentage from 0 to 100")
    after = changed(document, {"percent": percent})
    return _change(Action.PERCENT, f"percent {percent:g}", after, ports, state)


def _promote(ports: Ports, state: State) -> Plan:
    document, _ = in_force(state.deployed)
    percent = state.next_percent
    if percent is None:
        raise RolloutRefused("there is no step above the one in force")
    after = changed(document, {"percent": percent, "enabled": True, "mode": "serve"})
    promotion = _change(Action.PROMOTE, f"promote to {percent:g} %", after, ports, state)
    skipped = "Nothing judges the step in force first: what a ramp would wait for is skipped."
    return replace(promotion, effects=[skipped, *promotion.effects])


def _change(action: Action, change: str, after: FlagDocument, ports: Ports, state: State) -> Plan:
    deployed = state.deployed
    before, deployment = in_force(deployed)
    if after == before:
        raise RolloutRefused(f"already so: {change}")
    is_urgent = lowers_exposure(before, after)
    if deployed.in_flight is not None and not is_urgent:
        raise RolloutRefused(deployed.in_flight.progress(state.at_s))

    def do(record: ChangeRecord) -> str:
        return _done(ports.control.deploy(after, record, since=deployed), ports)

    effects = [*_exposed(before, after), *_reach(ports), *_stops(deployed, urgent=is_urgent), *_ends(state)]
    if raises_exposure(before, after):
        effects.append("AppConfig watches the rise for five minutes and takes it back if an alarm fires.")
    if after.mode == "shadow":
        effects.append("The mode stays shadow: the LLM is asked and everyone is served the baseline.")
    return Plan(action, change, change, effects, deployment.number, do, after.percent)


def _off(ports: Ports, state: State) -> Plan:
    deployed = state.deployed
    if is_off(deployed):
        raise RolloutRefused("everyone gets the baseline already")
    after = switched_off(ports.control, deployed)

    def do(record: ChangeRecord) -> str:
        made = switch_off(ports.control, record)
        return "everyone gets the baseline already" if made is None else _done(made, ports)

    effects = [*_exposed(deployed.document, after), *_reach(ports), *_stops(deployed, urgent=True), *_ends(state)]
    return Plan(Action.OFF, "switch off for everyone", "off", effects, _number(deployed), do)


def _rollback(ports: Ports, state: State) -> Plan:
    control, deployed = ports.control, state.deployed
    found = rollback_target(itertools.islice(control.deployments(), SEARCHED), control.document)
    if found is None:
        raise RolloutRefused("there is no good version to go back to that treats fewer users")
    good, document = found

    def do(record: ChangeRecord) -> str:
        return _done(control.redeploy(good.version, record, since=deployed), ports)

    before = f"{good.name} comes back: {good.record.render()}"
    effects = [before, *_exposed(deployed.document, document), *_reach(ports), *_stops(deployed, urgent=True)]
    title, change = f"roll back to {good.name}", f"rollback to {good.name}"
    return Plan(Action.ROLLBACK, title, change, [*effects, *_ends(state)], _number(deployed), do)


def _pause(ports: Ports, state: State, operator: Operator) -> Plan:
    lease = state.lease
    if lease is None or lease.holder == operator.holder:
        raise RolloutRefused("no ramp is at work")

    def do(_: ChangeRecord) -> str:
        expires_s = int(ports.clock.now()) + PAUSED_S
        own = Lease(operator.holder, operator.actor, lease.ramp, operator.host, operator.pid, expires_s)
        ports.leases().take(own, over=True)
        return "the ramp ends at its next observation, and its step stays in force"

    words = exposure_in_words(state.deployed.document)
    effects = [
        f"{lease.actor}'s ramp ends when it observes next; {words} stays in force.",
        "Nothing is deployed, and nobody's arm changes.",
        "`flagrank rollout ramp` with the same percentages and `--take-over` goes on from there.",
    ]
    return Plan(Action.PAUSE, "pause the ramp", "pause", effects, _number(state.deployed), do)


def _exposed(before: FlagDocument | None, after: FlagDocument) -> Sequence[str]:
    went = f"{exposure_in_words(before)} → {exposure_in_words(after)}"
    if exposure(after) > exposure(before):
        return [f"{went}: more users are treated. Whoever is treated now stays treated."]
    if exposure(after) < exposure(before):
        return [f"{went}: fewer users are treated. Nobody is treated who was not."]
    return [f"{went}."]


def _reach(ports: Ports) -> Sequence[str]:
    return [f"Every environment has it within {ports.propagation_s:g} s."]


def _stops(deployed: DeployedFlag, *, urgent: bool) -> Sequence[str]:
    busy = deployed.in_flight
    if busy is None or not urgent:
        return []
    return [f"Deployment {busy.number} is {'waited for' if deployed.must_end else 'stopped'}: {busy.record.render()}."]


def _ends(state: State) -> Sequence[str]:
    return [f"{state.lease.actor}'s ramp {state.lease.ramp} ends."] if state.lease else []


def _done(made: Deployment, ports: Ports) -> str:
    return f"{made.name} is deployed; every environment has it within {ports.propagation_s:g} s"


def _number(deployed: DeployedFlag) -> int:
    return deployed.deployment.number if deployed.deployment else 0
