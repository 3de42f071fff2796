"""What an alarm does to the flag."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.delivery.alarm import read_alarm, still_firing
from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment
from flagrank.delivery.guard import plan, recent_deployments, respond
from flagrank.errors import RolloutRefused, UnsupportedEvent
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure
from tests.unit.delivery.guard_story import OFF, Story, alarm, at, on, ramped

EVENT = json.loads((Path(__file__).parents[3] / "infra/events/alarm.json").read_text())


def test_an_alarm_lowers_to_the_last_good_percentage() -> None:
    """25 % fails, so 5 % is back. The record names actor, alarm, time and both percentages."""
    flag = ramped(1, 5, 25)
    response = respond(alarm(45), flag)
    assert (response.lowered, response.before, response.after) == (True, 25.0, 5.0)
    assert flag.in_force() == on(5)
    record = flag.history(1)[0].record
    assert record == ChangeRecord("guard", "25 % -> 5 %", alarm=alarm(45).key)
    assert response.why == record.render() == "guard: worse in ALARM since 2026-01-01T00:45:00+00:00: 25 % -> 5 %"


def test_a_percentage_that_was_in_force_for_too_short_a_time_is_not_good() -> None:
    """After steps of one minute each the flag goes off, and keeps its percentage."""
    flag = ramped(1, 5, 25, step_minutes=1)
    respond(alarm(3), flag)
    assert flag.in_force() == on(25).model_copy(update={"enabled": False})


def test_the_first_step_goes_off() -> None:
    """Below the first step there is nothing but off."""
    flag = ramped(1)
    assert respond(alarm(30), flag).after == 0
    assert not flag.in_force().enabled


def test_a_percentage_below_one_that_was_lowered_is_not_good() -> None:
    """After 25 % and 5 % the older 1 % does not count: what fails at 5 % goes off."""
    flag = ramped(1, 5, 25, 5)
    respond(alarm(75), flag)
    assert not flag.in_force().enabled


def test_a_percentage_of_another_treatment_is_not_good() -> None:
    """5 % of another model say nothing about 25 % of this one."""
    flag = Story()
    flag.operate(on(5).model_copy(update={"model_id": "another"}), 0)
    flag.operate(on(25), 20)
    respond(alarm(45), flag)
    assert not flag.in_force().enabled


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
def test_other_states_change_nothing(state: str) -> None:
    """Only ALARM lowers, and nothing raises."""
    flag = ramped(1, 5)
    assert not respond(alarm(30, state), flag).lowered
    assert flag.in_force() == on(5)


def test_nothing_is_below_off() -> None:
    """A flag that is off, or was never deployed, stays as it is."""
    empty, off = Story(), Story()
    off.operate(OFF, 0)
    assert [respond(alarm(1), flag).lowered for flag in (empty, off)] == [False, False]


def test_an_event_that_comes_twice_acts_once() -> None:
    """The second delivery finds that the first one lowered exposure."""
    flag = ramped(1, 5, 25)
    flag.move_to(46)
    responses = [respond(alarm(45), flag) for _ in range(3)]
    assert [response.lowered for response in responses] == [True, False, False]
    assert flag.in_force() == on(5)


def test_one_event_acts_once_even_if_clocks_disagree() -> None:
    """The record in the deployment holds even if AppConfig's clock lags behind CloudWatch's."""
    flag = ramped(1, 5, 25)
    flag.move_to(44)  # the guard's deployment seems older than the alarm
    assert respond(alarm(45), flag).lowered
    assert "handled before" in respond(alarm(45), flag).why
    assert flag.in_force() == on(5)


def test_what_an_earlier_release_recorded_is_remembered() -> None:
    """Its records are the same line, so the same event acts once across an update."""
    flag = ramped(1, 5, 25)
    flag.move_to(44)
    earlier = "guard: worse in ALARM since 2026-01-01T00:45:00+00:00: 25 % -> 5 %"
    flag.deploy(on(5), ChangeRecord.parse(earlier))
    assert "handled before" in respond(alarm(45), flag).why


def test_an_alarm_older_than_the_lower_percentage_in_force_is_stale() -> None:
    """It was about more than what is in force."""
    flag = ramped(1, 25, 5)
    assert "older than deployment 3" in respond(alarm(39), flag).why
    assert flag.in_force() == on(5)


@pytest.mark.parametrize(("minutes", "after"), [(20, 5.0), (2, 1.0)])
def test_an_alarm_from_before_a_rise_lowers_below_what_it_was_about(minutes: float, after: float) -> None:
    """The alarm fires at 25 %, and 50 % begins a second later: the guard goes below 25 %, never back to it."""
    flag = ramped(1)
    flag.operate(on(5), 20)
    flag.operate(on(25), 20 + minutes)
    flag.operate(on(50), 60)
    assert respond(alarm(60 - 1 / 60), flag).after == after


def test_an_alarm_from_before_anything_was_treated_lowers_what_is() -> None:
    """No percentage is known to be good if the first one was raised while the alarm fired."""
    flag = Story()
    flag.operate(on(5), 20)
    assert respond(alarm(19), flag).after == 0


def test_what_is_raised_again_under_an_alarm_is_lowered_again() -> None:
    """The event was answered, but a look finds the alarm firing since then, and exposure higher than then."""
    flag = ramped(1, 5, 25)
    flag.move_to(46)
    assert respond(alarm(45), flag).after == 5
    flag.operate(on(50), 48)
    assert "handled before" in respond(alarm(45), flag).why
    assert respond(still_firing("worse", at(45), at(50)), flag).lowered


def test_a_document_that_cannot_be_read_goes_off() -> None:
    """The newest readable document comes back, switched off. The record says what could not be read, and why."""
    flag = ramped(1, 5, 25)
    flag.operate(None, 60, in_flight=True)
    response = respond(alarm(61), flag)
    assert (response.lowered, response.before, response.after) == (True, 100.0, 0.0)
    assert flag.in_force() == on(25).model_copy(update={"enabled": False})
    assert response.why.endswith("off (version v4 is not readable: percent: percent has at most two decimals)")


def test_without_any_readable_document_the_default_one_goes_into_force() -> None:
    """It is off."""
    flag = Story()
    flag.operate(None, 0)
    assert respond(alarm(1), flag).lowered
    assert flag.in_force() == FlagDocument()


def test_nothing_below_a_document_that_cannot_be_read_is_good() -> None:
    """Whether it was the same treatment is not known."""
    flag = ramped(1, 5)
    flag.operate(None, 40)
    flag.operate(on(25), 60)
    respond(alarm(80), flag)
    assert not flag.in_force().enabled


def test_a_rollback_to_what_cannot_be_read_does_not_answer_an_alarm() -> None:
    """Environments keep the last document that they could read, and that is the one that was rolled back."""
    flag = Story()
    flag.operate(None, 0)
    flag.operate(on(25), 20, in_flight=True)
    flag.undo(25)
    assert respond(alarm(24), flag).lowered
    assert not flag.in_force().enabled


def test_a_second_alarm_lowers_further() -> None:
    """What still fails at the lower percentage goes off."""
    flag = ramped(1, 5, 25)
    flag.move_to(46)
    respond(alarm(45), flag)
    respond(alarm(60), flag)
    assert not flag.in_force().enabled


def test_an_alarm_that_keeps_firing_lowers_further_once_old_data_are_gone() -> None:
    """It says nothing of a deployment of the last quarter of an hour."""
    flag = ramped(1, 5, 25)
    flag.move_to(46)
    respond(alarm(45), flag)
    assert not respond(still_firing("worse", at(45), at(60)), flag).lowered
    assert flag.in_force() == on(5)
    assert respond(still_firing("worse", at(45), at(62)), flag).lowered
    assert not flag.in_force().enabled


def test_a_rise_in_flight_is_stopped() -> None:
    """It is rolled back before the lower percentage is deployed."""
    flag = ramped(1, 5)
    flag.operate(on(25), 40, in_flight=True)
    assert respond(alarm(41), flag).lowered
    assert [entry.state for entry in flag.history(2)] == ["COMPLETE", "ROLLED_BACK"]


def test_a_lowering_in_flight_is_not_stopped() -> None:
    """Stopping an operator's lowering would bring the larger exposure back. Lambda sends the alarm again later."""
    flag = ramped(1, 25)
    flag.operate(on(5), 40, in_flight=True)
    with pytest.raises(RolloutRefused, match="deployment 3 is lowering"):
        respond(alarm(41), flag)
    assert flag.in_force() == on(5)


def test_a_rollback_by_appconfig_s_monitor_answers_the_alarm() -> None:
    """The alarm that made AppConfig roll 25 % back does not cost the 5 % as well."""
    flag = ramped(1, 5, 25)
    flag.undo(45)
    response = respond(alarm(44.9), flag)
    assert (response.lowered, "deployment 3 was undone" in response.why) == (False, True)
    assert flag.in_force() == on(5)


def test_a_rollback_that_raised_exposure_does_not_answer_the_alarm() -> None:
    """If undoing a deployment brought more treatment, the alarm still lowers it."""
    flag = ramped(1, 25, 5)
    flag.undo(45)
    assert respond(alarm(44.9), flag).lowered
    assert exposure(flag.in_force()) < exposure(on(25))


def test_a_flag_that_others_keep_changing_is_left_to_a_later_attempt() -> None:
    """After some attempts the refusal is raised, so that Lambda tries again."""

    class Busy(Story):
        def deploy(
            self,
            document: FlagDocument,
            record: ChangeRecord,
            *,
            urgent: bool = False,
            since: DeployedFlag | None = None,
        ) -> Deployment:
            if urgent:
                raise RolloutRefused("somebody was faster")
            return super().deploy(document, record, since=since)

    flag = Busy()
    flag.operate(on(5), 0)
    with pytest.raises(RolloutRefused, match="somebody was faster"):
        respond(alarm(1), flag)


def test_the_guard_plans_with_what_it_has_read() -> None:
    """A deployment that began after the flag was read is not part of the plan, and has the change refused."""
    flag = ramped(1, 5, 25)
    deployed = flag.deployed()
    flag.operate(on(50), 60)
    planned = plan(alarm(45), flag, deployed)
    assert not isinstance(planned, str)
    assert planned.document == on(5)
    with pytest.raises(RolloutRefused, match="deployment 4 came first"):
        flag.deploy(planned.document, planned.record, urgent=True, since=deployed)


def test_the_event_is_eventbridge_s() -> None:
    """The sample under infra/events is read: name, state and the state's own time."""
    read = read_alarm(EVENT)
    assert read.key == "flagrank-RerankUnhealthy in ALARM since 2026-01-01T03:00:00.512000+00:00"


@pytest.mark.parametrize("event", [{}, {"detail": {}}, {"detail": {"alarmName": "x", "state": {"value": "??"}}}])
def test_another_event_is_refused(event: dict[str, object]) -> None:
    """A rule that matches too much is noticed."""
    with pytest.raises(UnsupportedEvent):
        read_alarm(event)


documents = st.builds(
    lambda enabled, percent, model: FlagDocument(enabled=enabled, percent=percent, model_id=model),
    st.booleans(),
    st.sampled_from((0.0, 1.0, 5.0, 25.0, 50.0, 100.0)),
    st.sampled_from(("one", "another")),
)


@given(changes=st.lists(st.tuples(documents, st.integers(1, 30)), min_size=1, max_size=8), fired=st.integers(0, 300))
def test_a_plan_never_raises_exposure(changes: list[tuple[FlagDocument, int]], fired: int) -> None:
    """The planned document treats fewer users than what is in force, and than what the alarm was about."""
    flag, minutes = Story(), 0
    for document, pause in changes:
        minutes += pause
        flag.operate(document, minutes)
    deployed = flag.deployed()
    planned = plan(alarm(fired), flag, deployed)
    recent = recent_deployments(flag, deployed.latest_number)
    then = next((recent.document_of(entry) for entry in recent.kept if entry.started_at <= at(fired)), OFF)
    if isinstance(planned, str):
        is_stale = at(fired) < recent.kept[0].started_at
        assert exposure(deployed.document) <= (exposure(then) if is_stale else 0)
        return
    below = min(exposure(deployed.document), exposure(then))
    assert exposure(planned.document) < max(below, 1)
    assert planned.document.enabled == (recent.last_good(600, below) is not None)
