"""Who gets the treatment."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flagrank.domain import Arm, Reason
from flagrank.flags.assignment import BUCKETS, DRAWING, bucket, decide
from flagrank.flags.document import FlagDocument

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "buckets.json").read_text())

user_ids = st.one_of(st.integers(-(10**17), 10**17), st.text(min_size=1, max_size=40))
percents = st.integers(0, BUCKETS).map(lambda basis_points: basis_points / 100)


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: f"{vector['salt']}:{vector['user_id']}")
def test_buckets_equal_the_golden_vectors(vector: dict[str, str | int]) -> None:
    """A user's bucket never changes between releases: the golden vectors hold."""
    assert bucket(str(vector["salt"]), vector["user_id"]) == vector["bucket"]


def test_every_hash_version_that_a_document_may_name_is_known() -> None:
    """A valid document decides: no version is accepted and then ignored or missing."""
    allowed = FlagDocument.model_json_schema()["properties"]["hash_version"]
    assert set(allowed.get("enum", [allowed.get("const")])) == set(DRAWING)


def test_the_hash_version_of_the_document_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket comes from the version that the document names."""
    monkeypatch.setitem(DRAWING, 1, lambda salt, user_id: 7 * BUCKETS - 1)
    assert decide(FlagDocument(enabled=True, percent=99), 1).arm is Arm.CONTROL


@given(user_id=user_ids, low=percents, high=percents)
def test_raising_the_percentage_only_adds_users(user_id: int | str, low: float, high: float) -> None:
    """Whoever is treated at a lower percentage is treated at every higher one."""
    low, high = sorted((low, high))
    treated_low = decide(FlagDocument(enabled=True, percent=low), user_id).arm is Arm.TREATMENT
    treated_high = decide(FlagDocument(enabled=True, percent=high), user_id).arm is Arm.TREATMENT
    assert treated_high or not treated_low


@given(user_id=user_ids)
def test_the_ends_of_the_range_are_exact(user_id: int | str) -> None:
    """At 0 nobody is treated, at 100 everybody is."""
    assert decide(FlagDocument(enabled=True, percent=0), user_id).arm is Arm.CONTROL
    assert decide(FlagDocument(enabled=True, percent=100), user_id).arm is Arm.TREATMENT


@given(user_id=st.integers(-(10**17), 10**17))
def test_an_id_decides_alike_as_number_and_as_text(user_id: int) -> None:
    """An id hashes the same whether it was trained as int or as str."""
    assert bucket("salt", user_id) == bucket("salt", str(user_id))


@pytest.mark.parametrize("percent", [1.0, 5.0, 10.0, 50.0])
def test_the_share_of_treated_users_is_the_percentage(percent: float) -> None:
    """Over 20,000 users the treated share is within three standard errors of the percentage."""
    flag = FlagDocument(enabled=True, percent=percent)
    count = 20_000
    treated = sum(decide(flag, user_id).arm is Arm.TREATMENT for user_id in range(count))
    share = percent / 100
    assert abs(treated / count - share) <= 3 * (share * (1 - share) / count) ** 0.5


def test_two_salts_split_independently() -> None:
    """Of the users treated under one salt, another salt treats its own percentage."""
    treated = [user_id for user_id in range(40_000) if bucket("a", user_id) < 500]
    overlap = sum(bucket("b", user_id) < 500 for user_id in treated) / len(treated)
    assert overlap == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / len(treated)) ** 0.5)


@pytest.mark.parametrize(
    ("flag", "arm", "reason"),
    [
        (None, Arm.CONTROL, Reason.NOT_CONFIGURED),
        (FlagDocument(enabled=False, percent=100, allow=("7",)), Arm.CONTROL, Reason.DISABLED),
        (FlagDocument(enabled=True, percent=100, deny=("7",), allow=("7",)), Arm.CONTROL, Reason.DENY),
        (FlagDocument(enabled=True, percent=0, allow=("7",)), Arm.TREATMENT, Reason.ALLOW),
        (FlagDocument(enabled=True, percent=100), Arm.TREATMENT, Reason.SPLIT),
    ],
)
def test_enabled_beats_all_then_deny_then_allow_then_split(flag: FlagDocument | None, arm: Arm, reason: Reason) -> None:
    """The precedence of the document's fields is fixed."""
    decision = decide(flag, 7)
    assert (decision.arm, decision.reason) == (arm, reason)


@pytest.mark.parametrize(
    "change",
    [
        {"percent": 0.001},
        {"percent": 100.01},
        {"percent": "5"},
        {"enabled": 1},
        {"alpha": 1.1},
        {"top_m": 19},
        {"salt": ""},
        {"schema": 2},
        {"mode": "off"},
        {"call_budget_ms": 900, "request_budget_ms": 900},
        {"unheard_of": True},
        {"daily_usd_cap": float("nan")},
    ],
)
def test_a_broken_document_is_refused(change: dict[str, object]) -> None:
    """Whatever is out of range, of another type or unknown makes the document invalid."""
    with pytest.raises(ValidationError):
        FlagDocument.model_validate(change)


def test_a_document_survives_its_own_json() -> None:
    """What is written to AppConfig reads back equal, ids in lists included."""
    flag = FlagDocument.model_validate_json('{"enabled": true, "percent": 4.95, "allow": [123, "u-1"]}')
    assert FlagDocument.model_validate_json(flag.model_dump_json(by_alias=True)) == flag
    assert flag.allow == ("123", "u-1")
    assert flag.threshold == 495


@pytest.mark.parametrize("cap", ["Infinity", "1e400", "1e308", "NaN"])
def test_a_cap_that_no_day_can_reach_is_refused(cap: str) -> None:
    """JSON readers take Infinity and read 1e400 as infinite; under such a cap money would have no limit."""
    with pytest.raises(ValidationError, match="daily_usd_cap"):
        FlagDocument.model_validate_json(f'{{"daily_usd_cap": {cap}}}')
