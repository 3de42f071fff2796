"""What an alarm does to the flag."""

import contextlib
import functools
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.delivery.guard import Alarm, is_lowering, last_good, plan, read_alarm, respond, still_on
from flagrank.errors import RolloutRefused, UnsupportedEvent
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure
from tests.unit.delivery.guarded_flag import OFF, FlagInMemory, alarm, at, on

EVENT = json.loads((Path(__file__).parents[3] / "infra/events/alarm.json").read_text())
RAMP = (1.0, 5.0, 25.0, 50.0, 100.0)
SEQUENCES = 1000


def ramped(*percents: float, step_minutes: float = 20) -> FlagInMemory:
    """A flag that was ramped up, the first step at 0 minutes."""
    flag = FlagInMemory()
    for place, percent in enumerate(percents):
        flag.deploy(on(percent), place * step_minutes)
    return flag


def in_force(flag: FlagInMemory) -> FlagDocument:
    document = flag.steps().newest_first[0].document
    assert document is not None
    return document


def test_an_alarm_lowers_to_the_step_that_had_stood() -> None:
    """25 % fails, so the 5 % before it are back, with actor, alarm, time and shares on record."""
    flag = ramped(1, 5, 25)
    outcome = respond(alarm(45), flag)
    assert (outcome.lowered, outcome.before, outcome.after) == (True, 25.0, 5.0)
    assert in_force(flag) == on(5)
    record = flag.steps().newest_first[0].description
    assert record == "guard: worse in ALARM since 2026-01-01T00:45:00+00:00: 25 % -> 5 %"


def test_a_step_that_did_not_stand_long_enough_is_not_good() -> None:
    """Steps of a minute vouch for nothing: off, and the share stays for the way back."""
    flag = ramped(1, 5, 25, step_minutes=1)
    respond(alarm(3), flag)
    assert in_force(flag) == on(25).model_copy(update={"enabled": False})


def test_the_first_step_goes_off() -> None:
    """Below the first step there is nothing but off."""
    flag = ramped(1)
    assert respond(alarm(30), flag).after == 0
    assert not in_force(flag).enabled


def test_a_share_that_was_left_downwards_is_no_way_back() -> None:
    """After 25 -> 5 the old steps below are not looked for: what fails at 5 goes off."""
    flag = ramped(1, 5, 25, 5)
    respond(alarm(75), flag)
    assert not in_force(flag).enabled


def test_steps_of_another_treatment_do_not_vouch() -> None:
    """5 % of another model say nothing about 25 % of this one."""
    flag = FlagInMemory()
    flag.deploy(on(5).model_copy(update={"model_id": "another"}), 0)
    flag.deploy(on(25), 20)
    respond(alarm(45), flag)
    assert not in_force(flag).enabled


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
def test_other_states_change_nothing(state: str) -> None:
    """Only ALARM lowers, and nothing raises."""
    flag = ramped(1, 5)
    assert not respond(alarm(30, state), flag).lowered
    assert in_force(flag) == on(5)


def test_nothing_is_below_off() -> None:
    """A flag that is off, or was never deployed, stays as it is."""
    empty, off = FlagInMemory(), FlagInMemory()
    off.deploy(OFF, 0)
    assert [respond(alarm(1), flag).lowered for flag in (empty, off)] == [False, False]


def test_an_event_that_comes_twice_acts_once() -> None:
    """The second delivery finds the first one's work."""
    flag = ramped(1, 5, 25)
    flag.minutes = 46
    outcomes = [respond(alarm(45), flag) for _ in range(3)]
    assert [outcome.lowered for outcome in outcomes] == [True, False, False]
    assert in_force(flag) == on(5)


def test_clocks_that_disagree_do_not_make_one_event_two() -> None:
    """The record in the deployment holds even if AppConfig's clock lags CloudWatch's."""
    flag = ramped(1, 5, 25)
    flag.minutes = 44  # the guard's deployment seems older than the alarm
    assert respond(alarm(45), flag).lowered
    assert "handled before" in respond(alarm(45), flag).why
    assert in_force(flag) == on(5)


def test_an_alarm_older_than_the_lower_share_in_force_is_stale() -> None:
    """It was about more than is there."""
    flag = ramped(1, 25, 5)
    assert "older than deployment 3" in respond(alarm(39), flag).why
    assert in_force(flag) == on(5)


@pytest.mark.parametrize(("stood_minutes", "after"), [(20, 5.0), (2, 1.0)])
def test_an_alarm_that_went_off_before_a_raise_lowers_below_what_it_was_about(
    stood_minutes: float, after: float
) -> None:
    """25 % rings and 50 % begins a second later: back to what had stood below 25 %, never to the 25 %."""
    flag = ramped(1)
    flag.deploy(on(5), 20)
    flag.deploy(on(25), 20 + stood_minutes)
    flag.deploy(on(50), 60)
    assert respond(alarm(60 - 1 / 60), flag).after == after


def test_an_alarm_that_went_off_before_anything_was_treated_lowers_what_is() -> None:
    """Nothing vouches for a share that was raised out of nothing under an alarm."""
    flag = FlagInMemory()
    flag.deploy(on(5), 20)
    assert respond(alarm(19), flag).after == 0


def test_what_is_raised_again_under_an_alarm_is_lowered_again() -> None:
    """The event was answered, but whoever looks sees the alarm still on since then, and the share higher than then."""
    flag = ramped(1, 5, 25)
    flag.minutes = 46
    assert respond(alarm(45), flag).after == 5
    flag.deploy(on(50), 48)
    assert "handled before" in respond(alarm(45), flag).why
    assert respond(still_on("worse", at(45), at(50)), flag).lowered


def test_a_document_that_cannot_be_read_goes_off() -> None:
    """The newest that can be read comes back, off; the record says what could not be read, and why."""
    flag = ramped(1, 5, 25)
    flag.deploy(None, 60, in_flight=True)
    outcome = respond(alarm(61), flag)
    assert (outcome.lowered, outcome.before, outcome.after) == (True, 100.0, 0.0)
    assert in_force(flag) == on(25).model_copy(update={"enabled": False})
    assert outcome.why.endswith("off, as deployment 4 cannot be read: written by hand")


def test_without_any_readable_document_the_first_one_goes_into_force() -> None:
    """A document of this release's own, which is off."""
    flag = FlagInMemory()
    flag.deploy(None, 0)
    assert respond(alarm(1), flag).lowered
    assert in_force(flag) == FlagDocument()


def test_a_document_that_cannot_be_read_vouches_for_nothing() -> None:
    """Neither it nor what was below it is a way back."""
    flag = ramped(1, 5)
    flag.deploy(None, 40)
    flag.deploy(on(25), 60)
    respond(alarm(80), flag)
    assert not in_force(flag).enabled


def test_a_rollback_onto_what_cannot_be_read_is_no_answer() -> None:
    """Environments keep the last document that they could read, and that is the one that was rolled back."""
    flag = FlagInMemory()
    flag.deploy(None, 0)
    flag.deploy(on(25), 20, in_flight=True)
    flag.undo(25)
    assert respond(alarm(24), flag).lowered
    assert not in_force(flag).enabled


def test_a_second_alarm_lowers_further() -> None:
    """What still fails at the lower share goes off."""
    flag = ramped(1, 5, 25)
    flag.minutes = 46
    respond(alarm(45), flag)
    respond(alarm(60), flag)
    assert not in_force(flag).enabled


def test_an_alarm_that_stays_on_lowers_further_once_old_data_are_gone() -> None:
    """It says nothing of a deployment of the last quarter of an hour, and all of an older one."""
    flag = ramped(1, 5, 25)
    flag.minutes = 46
    respond(alarm(45), flag)
    assert not respond(still_on("worse", at(45), at(60)), flag).lowered
    assert in_force(flag) == on(5)
    assert respond(still_on("worse", at(45), at(62)), flag).lowered
    assert not in_force(flag).enabled


def test_a_step_in_flight_is_stopped_first() -> None:
    """What stands meanwhile is never more than before."""
    flag = ramped(1, 5)
    flag.deploy(on(25), 40, in_flight=True)
    assert respond(alarm(41), flag).lowered
    assert [document.percent for document in flag.served] == [1, 5, 25, 5, 5]


def test_a_lowering_in_flight_is_let_be() -> None:
    """Stopping an operator's lowering would bring the larger share back; Lambda asks again later."""
    flag = ramped(1, 25)
    flag.deploy(on(5), 40, in_flight=True)
    with pytest.raises(RolloutRefused, match="deployment 3 is lowering"):
        respond(alarm(41), flag)
    assert in_force(flag) == on(5)


@pytest.mark.parametrize(("before", "after", "lowers"), [(25, 5, True), (25, 0, True), (5, 25, False), (0, 0, False)])
def test_what_lowers_is_told_by_what_it_replaces(before: float, after: float, lowers: bool) -> None:
    """AppConfig's monitor is kept from a deployment in flight that treats fewer, whoever began it; not from a rise."""
    flag = FlagInMemory()
    flag.deploy(on(before) if before else OFF, 0)
    flag.deploy(on(after) if after else OFF, 20, in_flight=True)
    assert is_lowering(flag.steps()) == lowers


def test_a_rollback_by_appconfig_s_monitor_is_an_answer() -> None:
    """The alarm that made AppConfig roll 25 % back does not cost the 5 % as well."""
    flag = ramped(1, 5, 25)
    flag.undo(45)
    outcome = respond(alarm(44.9), flag)
    assert (outcome.lowered, "deployment 3 was undone" in outcome.why) == (False, True)
    assert in_force(flag) == on(5)


def test_a_rollback_that_raised_exposure_is_no_answer() -> None:
    """Where undoing a deployment brought more treatment, the alarm still lowers it."""
    flag = ramped(1, 25, 5)
    flag.undo(45)
    assert respond(alarm(44.9), flag).lowered
    assert exposure(in_force(flag)) < exposure(on(25))


def test_a_flag_that_keeps_changing_is_left_to_a_later_try() -> None:
    """After some tries the refusal is raised, so that Lambda tries again and then says so."""

    class Busy(FlagInMemory):
        def lower(self, lowering: object, since: object) -> None:
            raise RolloutRefused("somebody was faster")

    flag = Busy()
    flag.deploy(on(5), 0)
    with pytest.raises(RolloutRefused, match="somebody was faster"):
        respond(alarm(1), flag)


def test_the_event_is_eventbridge_s() -> None:
    """The sample under infra/events is read: name, state and the state's own time."""
    read = read_alarm(EVENT)
    assert read.key == "flagrank-RerankUnhealthy in ALARM since 2026-01-01T03:00:00.512000+00:00"


@pytest.mark.parametrize("event", [{}, {"detail": {}}, {"detail": {"alarmName": "x", "state": {"value": "??"}}}])
def test_another_event_is_refused(event: dict[str, object]) -> None:
    """A rule that matches too much fails loudly."""
    with pytest.raises(UnsupportedEvent):
        read_alarm(event)


documents = st.builds(
    lambda enabled, percent, model: FlagDocument(enabled=enabled, percent=percent, model_id=model),
    st.booleans(),
    st.sampled_from((0.0, *RAMP)),
    st.sampled_from(("one", "another")),
)


@given(changes=st.lists(st.tuples(documents, st.integers(1, 30)), min_size=1, max_size=8), rang=st.integers(0, 300))
def test_a_plan_never_raises_exposure(changes: list[tuple[FlagDocument, int]], rang: int) -> None:
    """Whatever the history, the planned document treats fewer than what is there and than what the alarm was about."""
    flag = FlagInMemory()
    minutes = 0
    for document, pause in changes:
        minutes += pause
        flag.deploy(document, minutes)
    steps = flag.steps()
    planned = plan(alarm(rang), steps)
    current = steps.newest_first[0].document
    then = next((step.document for step in steps.newest_first if step.started_at <= at(rang)), OFF)
    if isinstance(planned, str):
        stale = alarm(rang).state.timestamp < steps.newest_first[0].started_at
        assert exposure(current) <= (exposure(then) if stale else 0)
        return
    below = min(exposure(current), exposure(then))
    assert exposure(planned.document) < max(below, 1)
    good = last_good(steps.newest_first, 600, below)
    assert planned.document.enabled == (good is not None)


@pytest.mark.rollout
def test_exposure_never_rises_under_any_sequence_of_alarms() -> None:
    """1,000 random sequences of duplicated, reordered and concurrent events, with AppConfig's monitor, and rollbacks
    that take their time or fail: what is in force treats no more than what was before it, and any alarm lowers a climb.
    """
    refusals, rolled_back = 0, 0
    with ThreadPoolExecutor(4) as threads:
        for seed in range(SEQUENCES):
            dice = random.Random(seed)
            flag = climbed(dice)
            began = len(flag.served) - 1
            events = shuffled_events(dice, flag.minutes)
            due = any(event.state.value == "ALARM" for event in events)
            flag.minutes += 31
            beset(flag, dice)
            flag.ringing = due and dice.random() < 0.5
            list(threads.map(delivered, events, [flag] * len(events)))
            for _ in range(flag.rollback_calls + 1):
                flag.rearm()
            exposures = [exposure(document) for document in flag.served[began:]]
            assert exposures == sorted(exposures, reverse=True), f"seed {seed}"
            assert (exposures[-1] < exposures[0]) == due, f"seed {seed}"
            assert flag.armed, f"seed {seed}"
            refusals += flag.refusals
            rolled_back += len(flag.rolled_back)
    # or nothing was concurrent, and the monitor asleep
    assert min(refusals, rolled_back) > SEQUENCES / 10


@pytest.mark.rollout
def test_operators_at_the_same_time_are_never_overruled_upwards() -> None:
    """While operators raise, lower and switch off: each document of the guard's, and each stop, treats no more than
    what was there, and AppConfig's monitor rolls back rises alone: the guard never arms it against a lowering."""
    lowerings, rolled_back = [], []
    with ThreadPoolExecutor(6) as threads:
        for seed in range(SEQUENCES):
            dice = random.Random(seed)
            flag = climbed(dice)
            beset(flag, dice)
            flag.ringing = dice.random() < 0.5
            began = len(flag.rolled_back)
            alarms = [alarm(flag.minutes + dice.uniform(-30, 60)) for _ in range(3)]
            futures = [threads.submit(tolerated, event, flag) for event in alarms]
            futures += [threads.submit(operate, flag, random.Random(place)) for place in dice.sample(range(1000), 3)]
            for future in futures:
                future.result()
            lowerings += flag.lowered
            rolled_back += flag.rolled_back[began:]
    assert min(len(lowerings), len(rolled_back)) > SEQUENCES / 10
    assert all(exposure(after) <= exposure(before) for before, after in lowerings + rolled_back)


def delivered(event: Alarm, flag: FlagInMemory) -> None:
    """As Lambda delivers it: again, where the guard was refused; the monitor is armed after each."""
    for _ in range(20):
        try:
            respond(event, flag)
        except RolloutRefused:
            continue
        finally:
            flag.rearm()
        return


def tolerated(event: Alarm, flag: FlagInMemory) -> None:
    """One try, and the monitor armed after it."""
    with contextlib.suppress(RolloutRefused):
        respond(event, flag)
    flag.rearm()


def operate(flag: FlagInMemory, dice: random.Random) -> None:
    """An operator's change: what lowers is urgent, what raises bakes, and what nobody can read is written by hand."""
    document = on(dice.choice(RAMP)).model_copy(update={"enabled": dice.random() < 0.7})
    moment = flag.minutes + dice.uniform(0, 30)
    if dice.random() < 0.1:
        flag.raise_and_bake(None, moment)
    elif exposure(document) < exposure(flag.served[-1]):
        flag.lower_urgently(document, moment)
    else:
        flag.raise_and_bake(document, moment)


def beset(flag: FlagInMemory, dice: random.Random) -> None:
    """Others get their turn between any two calls, rollbacks take their time, and stops fail now and then."""
    flag.between_calls = functools.partial(others_turn, dice)
    flag.rollback_calls = dice.choice((0, 3))
    flag.stop_fails = lambda: dice.choice(("", "", "", "refused", "lost"))


def others_turn(dice: random.Random) -> None:
    time.sleep(dice.choice((0, 1e-5, 1e-4)))


def climbed(dice: random.Random) -> FlagInMemory:
    """A flag somewhere on its way up, whose last step may be in flight."""
    steps = RAMP[: dice.randint(1, len(RAMP))]
    flag = ramped(*steps[:-1], step_minutes=dice.choice((1, 20)))
    flag.deploy(on(steps[-1]), 20 * len(steps), in_flight=dice.random() < 0.5)
    return flag


def shuffled_events(dice: random.Random, minutes: float) -> list[Alarm]:
    """Changes of two alarms around a moment, some of them more than once, in any order."""
    states = ("ALARM", "ALARM", "OK")
    changes = [
        alarm(minutes + dice.uniform(-30, 30), dice.choice(states), dice.choice("ab"))
        for _ in range(dice.randint(1, 4))
    ]
    return dice.choices(changes, k=dice.randint(1, 8))
