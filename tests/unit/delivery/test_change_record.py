"""A change's record, and the line that a deployment keeps of it."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrank.delivery.change_record import DESCRIPTION_CHARS, GUARD, ChangeRecord

KEY = "flagrank-RerankUnhealthy in ALARM since 2026-01-01T03:00:00.512000+00:00"
# as versions of Flagrank before ChangeRecord wrote them, and as other tools may
EARLIER = {
    "me: init (first document)": ChangeRecord("me", "init", "first document"),
    "night-shift: percent 12.5 (looks good)": ChangeRecord("night-shift", "percent 12.5", "looks good"),
    "me: off (LLM hängt (3 Uhr))": ChangeRecord("me", "off", "LLM hängt (3 Uhr)"),
    "me: rollback to v1 (none given)": ChangeRecord("me", "rollback to v1", "none given"),
    "me: ramp 25 % of 1,5,25,50,100 (nova: of 5)": ChangeRecord("me", "ramp 25 %", "nova: of 5", "1,5,25,50,100"),
    "me: ramp 0.5 % in shadow of 0.5,1 (x)": ChangeRecord("me", "ramp 0.5 % in shadow", "x", "0.5,1"),
    "me: off, ramp 25 %: p95: 900 ms treated; above control by 800 ms, 700 ms tolerated: too much": ChangeRecord(
        "me", "off, ramp 25 %: p95: 900 ms treated; above control by 800 ms, 700 ms tolerated: too much"
    ),
    f"guard: {KEY}: 25 % -> 5 %": ChangeRecord("guard", "25 % -> 5 %", alarm=KEY),
    "guard: worse still in ALARM since 2026-01-01T00:45:00+00:00: 5 % -> 0 %": ChangeRecord(
        "guard", "5 % -> 0 %", alarm="worse still in ALARM since 2026-01-01T00:45:00+00:00"
    ),
    f"guard: {KEY}: off, as deployment 4 cannot be read: percent: Value error, two": ChangeRecord(
        "guard", "off, as deployment 4 cannot be read: percent: Value error, two", alarm=KEY
    ),
    "flagrank local: first document": ChangeRecord("flagrank local", "first document"),
    "raised by hand": ChangeRecord("", "raised by hand"),
    "": ChangeRecord("", ""),
}

words = st.text(string.ascii_letters + string.digits + "äß—%/.-", min_size=1, max_size=12)
sentences = st.lists(words, min_size=1, max_size=6).map(" ".join)
# a reason may hold whatever the grammar of the line is made of
reasons = st.lists(st.one_of(words, st.sampled_from(["(", ")", ":", "of", "1,5", "ramp"])), max_size=8).map(" ".join)
percents = st.lists(st.floats(0.01, 100).map(lambda value: f"{round(value, 2):g}"), min_size=1, max_size=9).map(
    ",".join
)
names = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=30)
keys = st.builds(
    "{}{} in ALARM since {}".format,
    names,
    st.sampled_from(["", " still"]),
    st.datetimes().map(str).map(lambda moment: moment.replace(" ", "T")),
)
records = st.one_of(
    st.builds(ChangeRecord, sentences, sentences, reasons),
    st.builds(ChangeRecord, sentences, sentences.map("ramp {}".format), reasons, percents),
    st.builds(ChangeRecord, st.just(GUARD), sentences, reasons, st.just(""), keys),
)


@pytest.mark.parametrize("description", EARLIER)
def test_an_earlier_flag_s_history_is_read(description: str) -> None:
    """Who, what, why, of which ramp and about which alarm; and people see the line that they always saw."""
    record = ChangeRecord.parse(description)
    assert record == EARLIER[description]
    assert record.render() == description


@given(records)
def test_a_record_is_parsed_as_it_was_rendered(record: ChangeRecord) -> None:
    """Every part of it, in one line."""
    assert ChangeRecord.parse(record.render()) == record
    assert record.stored() == record


@given(records, st.integers(900, 1100), st.integers(0, 3))
def test_a_record_that_is_too_long_loses_the_end_of_its_reason(
    record: ChangeRecord, letters: int, closing: int
) -> None:
    """Nothing else, whether the cut falls on a letter, a space or a parenthesis; and stored twice it is the same."""
    reason = f"{'x' * letters}{')' * closing} {'y ' * 80}"
    stored = replace(record, reason=reason).stored()
    assert len(replace(record, reason=reason).render()) == DESCRIPTION_CHARS
    assert reason.startswith(stored.reason)
    assert replace(stored, reason="") == replace(record, reason="")
    assert stored.stored() == stored


@given(st.one_of(st.text(max_size=80), st.lists(st.one_of(words, reasons, st.sampled_from("(): "))).map(" ".join)))
def test_whatever_a_description_says_is_shown_as_it_is(description: str) -> None:
    """Somebody at the console may write anything: no record changes its words."""
    line = " ".join(description.split())[:DESCRIPTION_CHARS].strip()
    assert ChangeRecord.parse(line).render() == line


def test_a_record_is_one_line() -> None:
    """Whatever white space a reason has."""
    assert ChangeRecord("me", "off", "hangs\n\t at 3").render() == "me: off (hangs at 3)"


def test_only_the_guard_answers_alarms() -> None:
    """An operator who names an alarm in a reason has not answered it."""
    assert ChangeRecord.parse(f"me: {KEY}: 25 % -> 5 %").alarm == ""
